// plot.h -- draws one curve on a logarithmic scale, as SVG.
#pragma once
#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

/// The loss at every step (thin) and its running mean (thick).
inline void write_loss_curve(const std::string& path, const std::vector<double>& loss,
                             const std::string& title) {
  const double width = 640, height = 320, left = 60, right = 20, top = 36, bottom = 40;
  const auto [least, most] = std::minmax_element(loss.begin(), loss.end());
  const double low = std::floor(std::log10(std::max(*least, 1e-6))),
               high = std::ceil(std::log10(*most));
  auto x = [&](std::size_t i) {
    return left + (width - left - right) * double(i) / double(loss.size() - 1);
  };
  auto y = [&](double v) {
    return top + (height - top - bottom) * (high - std::log10(std::max(v, 1e-6))) / (high - low);
  };
  std::ofstream svg(path);
  svg << "<svg xmlns='http://www.w3.org/2000/svg' width='" << width << "' height='" << height
      << "' font-family='sans-serif' font-size='12'>\n<rect width='100%' height='100%' "
         "fill='white'/>\n<text x='"
      << left << "' y='20' font-size='14'>" << title << "</text>\n";
  for (double decade = low; decade <= high; ++decade) {
    const double at = y(std::pow(10, decade));
    svg << "<line x1='" << left << "' x2='" << width - right << "' y1='" << at << "' y2='" << at
        << "' stroke='#ddd'/><text x='" << left - 8 << "' y='" << at + 4 << "' text-anchor='end'>"
        << (decade < 0 ? std::to_string(std::pow(10, decade)).substr(0, std::size_t(2 - decade))
                       : std::to_string(int(std::pow(10, decade))))
        << "</text>\n";
  }
  auto curve = [&](const std::vector<double>& v, const char* color, double stroke) {
    svg << "<polyline fill='none' stroke='" << color << "' stroke-width='" << stroke
        << "' points='";
    for (std::size_t i = 0; i < v.size(); ++i) svg << x(i) << ',' << y(v[i]) << ' ';
    svg << "'/>\n";
  };
  std::vector<double> smooth;
  for (double sum = 0, weight = 0; double v : loss) {
    sum = 0.95 * sum + v;
    weight = 0.95 * weight + 1;
    smooth.push_back(sum / weight);
  }
  curve(loss, "#9ec5e8", 1);
  curve(smooth, "#1f5fa8", 2);
  svg << "<text x='" << width / 2 << "' y='" << height - 10 << "' text-anchor='middle'>step (of "
      << loss.size() << ")</text>\n</svg>\n";
}
