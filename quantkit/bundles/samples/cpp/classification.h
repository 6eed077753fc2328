// Classes of whole clips, as of a keyword spotter.
#pragma once

#include "common.h"

struct Model {
  Model(Ort::Env& environment, const std::filesystem::path& folder) : graph(environment, folder / "model.onnx") {}
  Graph graph;
};

// The likeliest class of a clip; one of more than 40 seconds is heard in pieces of 30.
inline std::vector<int> Recognise(Model& model, const std::vector<float>& samples, std::size_t rate) {
  std::vector<double> total(kTokenCount);
  for (std::size_t start = 0; start < samples.size();) {
    const std::size_t left = samples.size() - start;
    const std::size_t count = left <= 40 * rate ? left : 30 * rate;
    const auto steps = static_cast<std::int64_t>(count);
    Values feed;
    feed.emplace("waveform", Tensor(samples.data() + start, {1, steps}));
    feed.emplace("lengths", Whole({steps}, {1}));
    const Values made = model.graph.Run({&feed});
    const float* scores = made.at("log_probs").GetTensorData<float>();
    for (std::size_t place = 0; place < kTokenCount; ++place)
      total[place] += static_cast<double>(count) * std::exp(static_cast<double>(scores[place]));
    start += count;
  }
  return {static_cast<int>(std::max_element(total.begin(), total.end()) - total.begin())};
}
