// CTC: no frame depends on another. Graves et al., "Connectionist temporal classification", 2006.
#pragma once

#include "common.h"

struct Model {
  Model(Ort::Env& environment, const std::filesystem::path& folder) : graph(environment, folder / "model.onnx") {}
  Graph graph;
};

// The likeliest label of each frame, repetitions once.
inline std::vector<int> Recognise(Model& model, const std::vector<float>& samples, std::size_t rate) {
  std::vector<int> kept;
  int last = -1;
  ForEachRow(model.graph, "log_probs", "output_lengths", samples, rate, [&](const float* row, std::size_t count) {
    const int label = Likeliest(row, count);
    if (label != last) kept.push_back(label);
    last = label;
  });
  return kept;
}
