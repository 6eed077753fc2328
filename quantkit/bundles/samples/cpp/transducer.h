// A transducer: Graves, "Sequence transduction with recurrent neural networks", 2012; with durations
// Xu et al., "Efficient sequence transduction by jointly predicting tokens and durations", 2023.
#pragma once

#include <memory>

#include "common.h"

struct Model {
  Model(Ort::Env& environment, const std::filesystem::path& folder)
      : encoder(environment, folder / kGraphs.at("encoder")),
        reader(environment, folder / kGraphs.at(kGraphs.count("predictor") ? "predictor" : "decoder")) {
    if (kGraphs.count("joiner")) joiner = std::make_unique<Graph>(environment, folder / kGraphs.at("joiner"));
  }
  Graph encoder, reader;  // the reader joins, too, where there is no joiner
  std::unique_ptr<Graph> joiner;
};

inline Ort::Value First(const State& state) {
  std::size_t count = 1;
  for (const std::int64_t size : state.shape) count *= static_cast<std::size_t>(size);
  if (state.is_whole) return Whole(std::vector<std::int64_t>(count, 0), state.shape);
  const std::vector<float> zeros(count, 0.0f);
  return Tensor(zeros.data(), state.shape);
}

// The likeliest label in every frame, until it is the blank.
inline std::vector<int> Recognise(Model& model, const std::vector<float>& samples, std::size_t rate) {
  std::vector<std::vector<float>> frames;
  ForEachRow(model.encoder, "encoded", "encoded_lengths", samples, rate,
             [&](const float* row, std::size_t count) { frames.emplace_back(row, row + count); });
  Values states, read;
  for (const State& state : kStates) states.emplace(state.input, First(state));
  std::vector<std::int64_t> last = kStart;
  std::vector<int> tokens;
  bool is_read = false;  // what the predictor makes of the last label, until there is another
  for (std::size_t at = 0, added = 0; at < frames.size();) {
    Values feed;
    feed.emplace("encoded", Tensor(frames[at].data(), {1, 1, static_cast<std::int64_t>(frames[at].size())}));
    feed.emplace("frames", Whole({0}, {1}));
    feed.emplace("tokens", Whole(last, {1, static_cast<std::int64_t>(last.size())}));
    if (!model.joiner || !is_read) read = model.reader.Run({&feed, &states});
    is_read = true;
    Values joined;
    if (model.joiner) joined = model.joiner->Run({&feed, &read});
    const float* found = (model.joiner ? joined : read).at("log_probs").GetTensorData<float>();
    const int label = Likeliest(found, kTokenCount);
    std::size_t duration =
        kDurations > 0 ? static_cast<std::size_t>(Likeliest(found + kTokenCount, kDurations)) : 0;
    if (label != kBlank) {
      tokens.push_back(label);
      last.erase(last.begin());
      last.push_back(label);
      for (const State& state : kStates) {
        states.erase(state.input);
        states.emplace(state.input, std::move(read.at(state.output)));
      }
      ++added;
      is_read = false;
    }
    if (duration == 0 && (label == kBlank || added == kMostPerFrame)) duration = 1;
    if (duration > 0) added = 0;
    at += duration;
  }
  return tokens;
}
