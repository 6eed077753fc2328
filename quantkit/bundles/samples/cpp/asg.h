// ASG: transitions between labels count, and some labels repeat a letter. Collobert et al.,
// "Wav2Letter", 2016.
#pragma once

#include "common.h"

struct Model {
  Model(Ort::Env& environment, const std::filesystem::path& folder) : graph(environment, folder / "model.onnx") {}
  Graph graph;
};

// The label of each frame on the best path through all of them (Viterbi).
inline std::vector<int> BestPath(Model& model, const std::vector<float>& samples, std::size_t rate) {
  std::vector<double> score;
  std::vector<std::vector<int>> before;
  ForEachRow(model.graph, "log_probs", "output_lengths", samples, rate, [&](const float* row, std::size_t count) {
    if (score.empty()) {
      score.assign(row, row + count);
      return;
    }
    std::vector<double> next(count);
    std::vector<int> from(count, 0);
    for (std::size_t label = 0; label < count; ++label) {
      double best = score[0] + kTransitions[0][label];
      for (std::size_t i = 1; i < count; ++i) {
        const double other = score[i] + kTransitions[i][label];
        if (other > best) {
          best = other;
          from[label] = static_cast<int>(i);
        }
      }
      next[label] = best + row[label];
    }
    before.push_back(std::move(from));
    score = std::move(next);
  });
  std::vector<int> path{static_cast<int>(std::max_element(score.begin(), score.end()) - score.begin())};
  for (auto from = before.rbegin(); from != before.rend(); ++from)
    path.push_back((*from)[static_cast<std::size_t>(path.back())]);
  std::reverse(path.begin(), path.end());
  return path;
}

inline std::vector<int> Recognise(Model& model, const std::vector<float>& samples, std::size_t rate) {
  const auto is_silent = [](int label) { return std::find(kSilent.begin(), kSilent.end(), label) != kSilent.end(); };
  std::vector<int> kept;
  int last = -1;
  for (const int label : BestPath(model, samples, rate)) {
    const auto repeat = std::find(kRepeats.begin(), kRepeats.end(), label);
    if (label != last && repeat == kRepeats.end()) {
      if (!is_silent(label)) kept.push_back(label);
    } else if (label != last && last >= 0 && !is_silent(last)) {
      kept.insert(kept.end(), static_cast<std::size_t>(repeat - kRepeats.begin()) + 1, last);
    }
    last = label;
  }
  return kept;
}
