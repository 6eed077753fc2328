// A decoder that writes a text token by token.
#pragma once

#include <limits>

#include "common.h"

struct Model {
  Model(Ort::Env& environment, const std::filesystem::path& folder)
      : encoder(environment, folder / kGraphs.at("encoder")), decoder(environment, folder / kGraphs.at("decoder")) {}
  Graph encoder, decoder;
};

// The likeliest token after each other, until the text ends; `longest` at most.
//
// `never` are tokens that are never written, `not_first` those that begin no text.
inline std::vector<int> WriteTokens(Graph& decoder, const Values& cross, std::vector<std::int64_t> next,
                                    std::size_t longest, const std::vector<int>& never,
                                    const std::vector<int>& not_first) {
  const std::string before = "past.", after = "present.";
  Values past;
  for (const std::string& name : decoder.Inputs())
    if (name.compare(0, before.size(), before) == 0) {
      const Shape sizes = decoder.InputShape(name);
      past.emplace(name, Tensor<float>(nullptr, {1, sizes[1], 0, sizes[3]}));
    }
  std::vector<int> tokens;
  while (tokens.size() <= longest) {
    Values feed;
    const auto count = static_cast<std::int64_t>(next.size());
    feed.emplace("tokens", Whole(next, {1, count}));
    feed.emplace("positions", Whole({count - 1}, {1}));
    Values made = decoder.Run({&feed, &past, &cross});
    const Shape sizes = ShapeOf(made.at("log_probs"));
    const auto width = static_cast<std::size_t>(sizes[2]);
    float* found = made.at("log_probs").GetTensorMutableData<float>() + (sizes[1] - 1) * sizes[2];
    constexpr float kNever = -std::numeric_limits<float>::infinity();
    for (const int token : never) found[token] = kNever;
    if (tokens.empty())
      for (const int token : not_first) found[token] = kNever;
    const int token = Likeliest(found, width);
    if (token == kEnd) break;
    tokens.push_back(token);
    next = {token};
    for (auto& state : past) state.second = std::move(made.at(after + state.first.substr(before.size())));
  }
  if (tokens.size() > longest) tokens.resize(longest);
  return tokens;
}
