// Whisper: Radford et al., "Robust speech recognition via large-scale weak supervision", 2022.
#pragma once

#include "tokens.h"

const std::string kSpoken = "";  // a code such as "de"; empty: what the model finds

// (bands, frames) of 30 seconds: the logarithm of the power in bands of Slaney's scale.
inline std::vector<float> Spectrogram(const std::vector<float>& samples, std::size_t rate) {
  constexpr double kPi = 3.14159265358979323846;
  const std::size_t frames = kWindowSeconds * rate / kHop, half = kWindow / 2;
  std::vector<double> clip(frames * kHop + kWindow, 0.0);
  std::copy(samples.begin(), samples.end(), clip.begin() + static_cast<std::ptrdiff_t>(half));
  for (std::size_t i = 0; i < half; ++i) clip[i] = clip[kWindow - i];
  std::vector<double> cosine(kWindow), sine(kWindow), taper(kWindow);
  for (std::size_t i = 0; i < kWindow; ++i) {
    const double angle = 2 * kPi * static_cast<double>(i) / static_cast<double>(kWindow);
    cosine[i] = std::cos(angle);
    sine[i] = std::sin(angle);
    taper[i] = 0.5 - 0.5 * std::cos(angle);
  }
  // Triangles of Slaney's scale.
  const double top = 15 + 27 * std::log(static_cast<double>(rate) / 2000) / std::log(6.4);
  std::vector<double> edges(kMelBands + 2);
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const double mel = static_cast<double>(i) * top / static_cast<double>(kMelBands + 1);
    edges[i] = mel < 15 ? mel * 200 / 3 : 1000 * std::pow(6.4, (mel - 15) / 27);
  }
  std::vector<float> found(kMelBands * frames);
  std::vector<double> even(half), odd(half), power(half + 1), logarithms(kMelBands * frames);
  std::vector<std::vector<double>> filters(kMelBands, std::vector<double>(half + 1));
  for (std::size_t band = 0; band < kMelBands; ++band)
    for (std::size_t bin = 0; bin <= half; ++bin) {
      const double hertz = static_cast<double>(bin * rate) / static_cast<double>(kWindow);
      const double low = edges[band], middle = edges[band + 1], high = edges[band + 2];
      const double height = std::min((hertz - low) / (middle - low), (high - hertz) / (high - middle));
      filters[band][bin] = std::max(0.0, height) * 2 / (high - low);
    }
  double largest = -1e30;
  for (std::size_t frame = 0; frame < frames; ++frame) {
    const double* slice = clip.data() + frame * kHop;
    // A sum with its mirror image halves the work.
    for (std::size_t n = 1; n < half; ++n) {
      const double one = slice[n] * taper[n], other = slice[kWindow - n] * taper[kWindow - n];
      even[n] = one + other;
      odd[n] = one - other;
    }
    for (std::size_t k = 0; k <= half; ++k) {
      double real = slice[0] * taper[0] + (k % 2 ? -1 : 1) * slice[half] * taper[half], imaginary = 0;
      for (std::size_t n = 1, at = k; n < half; ++n, at = (at + k) % kWindow) {
        real += even[n] * cosine[at];
        imaginary += odd[n] * sine[at];
      }
      power[k] = real * real + imaginary * imaginary;
    }
    for (std::size_t band = 0; band < kMelBands; ++band) {
      double sum = 0;
      for (std::size_t bin = 0; bin <= half; ++bin) sum += filters[band][bin] * power[bin];
      const double value = std::log10(std::max(sum, 1e-10));
      logarithms[band * frames + frame] = value;
      largest = std::max(largest, value);
    }
  }
  for (std::size_t i = 0; i < found.size(); ++i)
    found[i] = static_cast<float>((std::max(logarithms[i], largest - 8) + 4) / 4);
  return found;
}

// The text of a clip, which is cut every 30 seconds. Set kSpoken, or the model finds it out.
inline std::vector<int> Recognise(Model& model, const std::vector<float>& samples, std::size_t rate) {
  const std::size_t size = kWindowSeconds * rate;
  std::vector<int> tokens;
  for (std::size_t start = 0; start < samples.size(); start += size) {
    const std::vector<float> part(samples.begin() + static_cast<std::ptrdiff_t>(start),
                                  samples.begin() + static_cast<std::ptrdiff_t>(std::min(start + size, samples.size())));
    if (part.size() < kWindow) break;
    const std::vector<float> features = Spectrogram(part, rate);
    Values feed;
    feed.emplace("features", Tensor(features.data(), {1, static_cast<std::int64_t>(kMelBands),
                                                      static_cast<std::int64_t>(features.size() / kMelBands)}));
    const Values cross = model.encoder.Run({&feed});
    std::vector<std::int64_t> prompt = kPrompt;
    if (!kLanguages.empty()) {
      const std::string& named = kSpoken.empty() ? kLanguage : kSpoken;
      const auto known = kLanguages.find(named);
      std::int64_t spoken = 0;
      if (known != kLanguages.end()) {
        spoken = known->second;
      } else {
        std::vector<int> others;
        for (int token = 0; token < static_cast<int>(kTokenCount); ++token)
          if (std::none_of(kLanguages.begin(), kLanguages.end(),
                           [&](const auto& each) { return each.second == token; }))
            others.push_back(token);
        spoken = WriteTokens(model.decoder, cross, {prompt[0]}, 1, {}, others).at(0);
      }
      prompt.insert(prompt.begin() + 1, spoken);
    }
    const auto found = WriteTokens(model.decoder, cross, prompt, kLongest, kSuppressed, kSuppressedFirst);
    tokens.insert(tokens.end(), found.begin(), found.end());
  }
  return tokens;
}
