// What does an audio file say?   ./example clip.wav [folder of the bundle]
//
// Reads WAV files of 16 bits. With ONNX Runtime's release archive unpacked in $ORT:
//   c++ -std=c++17 -O2 -I$ORT/include example.cpp -L$ORT/lib -lonnxruntime -Wl,-rpath,$ORT/lib -o example
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "example_labels.h"

struct Clip {
  std::vector<float> samples;  // in [-1, 1]
  std::size_t rate = 0;        // hertz
};

// Little-endian, whatever the processor is.
static std::size_t Number(const std::string& bytes, std::size_t at, int width) {
  std::size_t value = 0;
  for (int i = width - 1; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes.at(at + i));
  return value;
}

static Clip ReadWav(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot be read");
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.size() < 12 || bytes.substr(0, 4) != "RIFF" || bytes.substr(8, 4) != "WAVE")
    throw std::runtime_error("not a WAV file");
  std::size_t code = 0, channels = 0, bits = 0;
  Clip clip;
  for (std::size_t at = 12; at + 8 <= bytes.size();) {
    const std::string name = bytes.substr(at, 4);
    const std::size_t size = Number(bytes, at + 4, 4), start = at + 8;
    if (name == "fmt " && start + 16 <= bytes.size()) {
      code = Number(bytes, start, 2);
      if (code == 0xFFFE && size >= 26) code = Number(bytes, start + 24, 2);  // stands further back
      channels = Number(bytes, start + 2, 2);
      clip.rate = Number(bytes, start + 4, 4);
      bits = Number(bytes, start + 14, 2);
    } else if (name == "data" && channels > 0) {
      if (code != 1 || bits != 16) throw std::runtime_error("not a WAV of 16 bits; convert it");
      clip.samples.resize(std::min(size, bytes.size() - start) / (2 * channels));
      for (std::size_t i = 0; i < clip.samples.size(); ++i) {
        float sum = 0;
        for (std::size_t c = 0; c < channels; ++c)
          sum += static_cast<std::int16_t>(Number(bytes, start + 2 * (i * channels + c), 2));
        clip.samples[i] = sum / static_cast<float>(channels) / 32768.0f;
      }
      return clip;
    }
    at = start + size + size % 2;
  }
  throw std::runtime_error("a WAV file without samples");
}

// The likeliest label of each frame. Memory does not grow with the length of a clip: 60 seconds are
// heard at a time, and 2 once more on either side of a cut.
static std::vector<int> BestLabels(Ort::Session& session, std::vector<float>& samples, std::size_t rate) {
  const std::size_t window = 60 * rate, edge = 2 * rate;
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const std::array<const char*, 2> inputs{"waveform", "lengths"}, outputs{"log_probs", "output_lengths"};
  std::vector<int> best;
  for (std::size_t start = 0; start < samples.size(); start += window) {
    const std::size_t end = std::min(start + window, samples.size());
    const std::size_t first = start < edge ? 0 : start - edge;
    const std::size_t count = std::min(end + edge, samples.size()) - first;
    std::array<std::int64_t, 2> shape{1, static_cast<std::int64_t>(count)};
    std::array<std::int64_t, 1> one{1}, length{shape[1]};
    std::array<Ort::Value, 2> feed{
        Ort::Value::CreateTensor<float>(memory, samples.data() + first, count, shape.data(), 2),
        Ort::Value::CreateTensor<std::int64_t>(memory, length.data(), 1, one.data(), 1)};
    auto made = session.Run(Ort::RunOptions{nullptr}, inputs.data(), feed.data(), 2, outputs.data(), 2);
    const float* scores = made[0].GetTensorData<float>();
    const auto sizes = made[0].GetTensorTypeAndShapeInfo().GetShape();
    const auto frames = static_cast<double>(made[1].GetTensorData<std::int64_t>()[0]);
    // To the even number where both are as near, as NumPy rounds.
    const auto frame_at = [&](std::size_t at) {
      return std::min(sizes[1], static_cast<std::int64_t>(std::nearbyint(
                                    static_cast<double>(at - first) / static_cast<double>(count) * frames)));
    };
    for (std::int64_t row = frame_at(start); row < frame_at(end); ++row) {
      const float* from = scores + row * sizes[2];
      best.push_back(static_cast<int>(std::max_element(from, from + sizes[2]) - from));
    }
  }
  return best;
}

// CTC: repetitions count once, and the blank is not written.
static std::string Written(const std::vector<int>& best) {
  std::string text;
  int last = -1;
  for (const int label : best) {
    const bool silent = std::find(kSilent.begin(), kSilent.end(), label) != kSilent.end();
    if (label != last && !silent) text += (text.empty() ? "" : kSeparator) + kTokens.at(label);
    last = label;
  }
  std::istringstream words(text);
  std::string line, word;
  while (words >> word) line += (line.empty() ? "" : " ") + word;
  return line;
}

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::cerr << "usage: example clip.wav [folder of the bundle]\n";
    return 1;
  }
  try {
    Clip clip = ReadWav(argv[1]);
    if (clip.rate != kSampleRate)
      throw std::runtime_error("has " + std::to_string(clip.rate) + " Hz, and the model needs " +
                               std::to_string(kSampleRate));
    if (clip.samples.size() < clip.rate / 10) throw std::runtime_error("is too short");
    const auto folder = argc == 3 ? std::filesystem::path(argv[2]) : std::filesystem::path(argv[0]).parent_path();
    Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "example");
    environment.DisableTelemetryEvents();
    Ort::Session session(environment, (folder / "model.onnx").c_str(), Ort::SessionOptions{});
    std::cout << Written(BestLabels(session, clip.samples, clip.rate)) << "\n";
  } catch (const std::exception& error) {
    std::cerr << argv[1] << ": " << error.what() << "\n";
    return 1;
  }
}
