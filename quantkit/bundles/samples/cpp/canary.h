// Canary: Puvvada et al., "Less is more", 2024.
#pragma once

#include "texts.h"

// The text of a clip, in `target` of what is spoken in `language`; empty: as the model has it.
inline std::vector<int> Recognise(Model& model, const std::vector<float>& samples, std::size_t rate,
                                  const std::string& language = "", const std::string& target = "") {
  const std::string spoken = language.empty() ? kLanguage : language;
  std::vector<std::int64_t> prompt = kPrompt;
  prompt.at(kSource) = kLanguages.at(spoken);
  prompt.at(kTarget) = kLanguages.at(target.empty() ? spoken : target);
  return WriteTexts(model, samples, rate, prompt);
}
