// Moonshine: Jeffries et al., "Moonshine", 2024.
#pragma once

#include "tokens.h"

// The text of a clip, which is cut every 30 seconds where it is longer than 40.
inline std::vector<int> Recognise(Model& model, const std::vector<float>& samples, std::size_t rate) {
  const std::size_t size = samples.size() <= 40 * rate ? samples.size() : 30 * rate;
  std::vector<int> tokens;
  for (std::size_t start = 0; start < samples.size(); start += size) {
    const std::size_t count = std::min(size, samples.size() - start);
    if (count < kWindow) break;
    Values feed;
    feed.emplace("waveform", Tensor(samples.data() + start, {1, static_cast<std::int64_t>(count)}));
    const Values cross = model.encoder.Run({&feed});
    const double seconds = static_cast<double>(count) / static_cast<double>(rate);
    const double longest = std::max(1.0, std::nearbyint(kTokensPerSecond * seconds));
    const auto found = WriteTokens(model.decoder, cross, kPrompt, static_cast<std::size_t>(longest), kSuppressed,
                                   kSuppressedFirst);
    tokens.insert(tokens.end(), found.begin(), found.end());
  }
  return tokens;
}
