// What does an audio file say?   ./example clip.wav [folder of the bundle]
//
// Reads WAV files of 16 bits. With ONNX Runtime's release archive unpacked in $ORT:
//   c++ -std=c++17 -O2 -I$ORT/include example.cpp -L$ORT/lib -lonnxruntime -Wl,-rpath,$ORT/lib -o example
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>

#include "cpp/common.h"
#include "cpp/recognise.h"
#include "example_labels.h"

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
    Model model(environment, folder);
    std::cout << Written(Recognise(model, clip.samples, clip.rate)) << "\n";
  } catch (const std::exception& error) {
    std::cerr << argv[1] << ": " << error.what() << "\n";
    return 1;
  }
}
