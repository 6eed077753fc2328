// Texts of an encoder that hears clips of any length, and a decoder that writes them.
#pragma once

#include "tokens.h"

// The text of a clip after a prompt; the clip is cut every 30 seconds where it is longer than 40.
inline std::vector<int> WriteTexts(Model& model, const std::vector<float>& samples, std::size_t rate,
                                   const std::vector<std::int64_t>& prompt) {
  const std::size_t size = samples.size() <= 40 * rate ? samples.size() : 30 * rate;
  std::vector<int> tokens;
  for (std::size_t start = 0; start < samples.size(); start += size) {
    const std::size_t count = std::min(size, samples.size() - start);
    if (count < kWindow) break;
    Values feed;
    feed.emplace("waveform", Tensor(samples.data() + start, {1, static_cast<std::int64_t>(count)}));
    const Values cross = model.encoder.Run({&feed});
    const double seconds = static_cast<double>(count) / static_cast<double>(rate);
    const double wanted = std::nearbyint(kTokensPerSecond * seconds) + kTokensMore;
    const double longest = std::max(1.0, std::min(wanted, kMostTokens));
    const auto found =
        WriteTokens(model.decoder, cross, prompt, static_cast<std::size_t>(longest), kSuppressed, kSuppressedFirst);
    tokens.insert(tokens.end(), found.begin(), found.end());
  }
  return tokens;
}
