// Moonshine: Jeffries et al., "Moonshine", 2024.
#pragma once

#include "texts.h"

inline std::vector<int> Recognise(Model& model, const std::vector<float>& samples, std::size_t rate) {
  return WriteTexts(model, samples, rate, kPrompt);
}
