// What examples in C++ share: reading WAV, running graphs, printing tokens.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../example_labels.h"

struct Clip {
  std::vector<float> samples;  // in [-1, 1]
  std::size_t rate = 0;        // hertz
};

// Little-endian, whatever the processor is.
inline std::size_t Number(const std::string& bytes, std::size_t at, int width) {
  std::size_t value = 0;
  for (int i = width - 1; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes.at(at + i));
  return value;
}

inline Clip ReadWav(const std::filesystem::path& path) {
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

using Shape = std::vector<std::int64_t>;
using Values = std::map<std::string, Ort::Value>;

template <typename T>
Ort::Value Tensor(const T* values, const Shape& shape) {
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value tensor = Ort::Value::CreateTensor<T>(allocator, shape.data(), shape.size());
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
  if (count > 0) std::copy_n(values, count, tensor.template GetTensorMutableData<T>());
  return tensor;
}

inline Ort::Value Whole(const std::vector<std::int64_t>& values, const Shape& shape) {
  return Tensor(values.data(), shape);
}

inline Shape ShapeOf(const Ort::Value& value) { return value.GetTensorTypeAndShapeInfo().GetShape(); }

// Where the largest of some values stands.
inline int Likeliest(const float* values, std::size_t count) {
  return static_cast<int>(std::max_element(values, values + count) - values);
}

class Graph {
 public:
  Graph(Ort::Env& environment, const std::filesystem::path& path)
      : session_(environment, path.c_str(), Ort::SessionOptions{}) {
    // By the interface for C, which is the same in old and new headers.
    const OrtApi& api = Ort::GetApi();
    for (std::size_t i = 0; i < session_.GetInputCount(); ++i)
      inputs_.push_back(Name([&](OrtAllocator* memory, char** name) {
        return api.SessionGetInputName(session_, i, memory, name);
      }));
    for (std::size_t i = 0; i < session_.GetOutputCount(); ++i)
      outputs_.push_back(Name([&](OrtAllocator* memory, char** name) {
        return api.SessionGetOutputName(session_, i, memory, name);
      }));
  }

  const std::vector<std::string>& Inputs() const { return inputs_; }

  Shape InputShape(const std::string& name) const {
    const auto at = std::find(inputs_.begin(), inputs_.end(), name) - inputs_.begin();
    return session_.GetInputTypeInfo(static_cast<std::size_t>(at)).GetTensorTypeAndShapeInfo().GetShape();
  }

  // All outputs by name; values that the graph does not take are left out.
  Values Run(const std::vector<const Values*>& given) {
    Ort::IoBinding binding(session_);
    for (const std::string& name : inputs_)
      for (const Values* values : given) {
        const auto found = values->find(name);
        if (found == values->end()) continue;
        binding.BindInput(name.c_str(), found->second);
        break;
      }
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    for (const std::string& name : outputs_) binding.BindOutput(name.c_str(), memory);
    session_.Run(Ort::RunOptions{nullptr}, binding);
    std::vector<Ort::Value> made = binding.GetOutputValues();
    Values found;
    for (std::size_t i = 0; i < outputs_.size(); ++i) found.emplace(outputs_[i], std::move(made[i]));
    return found;
  }

 private:
  template <typename Ask>
  static std::string Name(Ask ask) {
    Ort::AllocatorWithDefaultOptions memory;
    char* name = nullptr;
    Ort::ThrowOnError(ask(memory, &name));
    const std::string found = name;
    memory.Free(name);
    return found;
  }

  Ort::Session session_;
  std::vector<std::string> inputs_, outputs_;
};

// Rows that a graph makes of a clip, one after the other. Memory does not grow with its length: 60
// seconds are heard at a time, and 2 once more on either side of a cut.
template <typename Use>
void ForEachRow(Graph& graph, const std::string& output, const std::string& lengths,
                const std::vector<float>& samples, std::size_t rate, Use use) {
  const std::size_t window = 60 * rate, edge = 2 * rate;
  for (std::size_t start = 0; start < samples.size(); start += window) {
    const std::size_t end = std::min(start + window, samples.size());
    const std::size_t first = start < edge ? 0 : start - edge;
    const std::size_t count = std::min(end + edge, samples.size()) - first;
    const auto steps = static_cast<std::int64_t>(count);
    Values feed;
    feed.emplace("waveform", Tensor(samples.data() + first, {1, steps}));
    feed.emplace("lengths", Whole({steps}, {1}));
    const Values made = graph.Run({&feed});
    const Ort::Value& rows = made.at(output);
    const Shape sizes = ShapeOf(rows);
    const auto frames = static_cast<double>(made.at(lengths).GetTensorData<std::int64_t>()[0]);
    // To the even number where both are as near, as NumPy rounds.
    const auto frame_at = [&](std::size_t at) {
      return std::min(sizes[1], static_cast<std::int64_t>(std::nearbyint(
                                    static_cast<double>(at - first) / static_cast<double>(count) * frames)));
    };
    for (std::int64_t row = frame_at(start); row < frame_at(end); ++row)
      use(rows.GetTensorData<float>() + row * sizes[2], static_cast<std::size_t>(sizes[2]));
  }
}

// The text of tokens; those that are not printed are left out.
inline std::string Written(const std::vector<int>& tokens) {
  std::string text;
  bool is_first = true;
  for (const int token : tokens) {
    if (std::find(kSilent.begin(), kSilent.end(), token) != kSilent.end()) continue;
    if (!is_first) text += kSeparator;
    text.append(kTokens[token].text, kTokens[token].size);
    is_first = false;
  }
  std::istringstream words(text);
  std::string line, word;
  while (words >> word) line += (line.empty() ? "" : " ") + word;
  return line;
}
