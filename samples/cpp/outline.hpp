// Choose the corners of one outline together, like edgehrnet/decoding/outline.py, which explains the method.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

struct Peak {
    int column, row;  // cell of the peak
    double x, y;      // position in cells
    double value;     // 0..1, activation of the heatmap; the score once the peak is chosen
};

constexpr double kLowest = 0.02;   // lowest value of a secondary peak
constexpr std::size_t kPeaks = 4;  // peaks per corner; Python takes fewer if there are more than four corners
constexpr int kRadius = 2;         // cells around a peak without a higher cell
constexpr int kAlong = 25;         // sampled points per side
constexpr double kApart = 2;       // minimum length of a side, in cells
constexpr double kFar = 100;       // distance of a side that is too short, in cells
constexpr double kOverlap = 2;     // exponent of the overlap with the signed distance field
constexpr double kSkew = 4;        // cost of a skew of 1, in nats

// Return the mean distance in cells between the side from a to b and the outline in `sdf` [height, width].
inline double distance(const Peak& a, const Peak& b, const float* sdf, int height, int width) {
    if (std::hypot(b.x - a.x, b.y - a.y) < kApart) return kFar;
    double sum = 0;
    for (int i = 0; i < kAlong; ++i) {
        const double share = 0.02 + 0.96 * i / (kAlong - 1);
        const double x = std::clamp(a.x + share * (b.x - a.x), 0.0, width - 1.0);
        const double y = std::clamp(a.y + share * (b.y - a.y), 0.0, height - 1.0);
        const int left = std::min(int(x), width - 2), top = std::min(int(y), height - 2);
        const float* at = sdf + top * width + left;
        const double right = x - left, down = y - top;
        sum += std::abs((at[0] * (1 - right) + at[1] * right) * (1 - down) +
                        (at[width] * (1 - right) + at[width + 1] * right) * down);
    }
    return sum / kAlong;
}

// Return the intersection over union of the cells that the outline encloses and those that are inside in `sdf`.
inline double overlap(const std::vector<Peak>& outline, const float* sdf, int height, int width) {
    long both = 0, enclosed = 0, inside = 0;
    for (int row = 0; row < height; ++row) {
        const float* cells = sdf + row * width;
        inside += std::count_if(cells, cells + width, [](float d) { return d < 0; });
        for (std::size_t k = 0; k < outline.size(); ++k) {
            const Peak &a = outline[k], &b = outline[(k + 1) % outline.size()];
            if ((a.y > row) == (b.y > row)) continue;
            const double at = a.x + (row - a.y) * (b.x - a.x) / (b.y - a.y);
            // Cells left of a side that goes down are added, and cells left of a side that goes up are subtracted.
            const long left = long(std::clamp(std::ceil(at), 0.0, double(width))), way = b.y > row ? 1 : -1;
            enclosed += way * left;
            both += way * std::count_if(cells, cells + left, [](float d) { return d < 0; });
        }
    }
    both = std::abs(both), enclosed = std::abs(enclosed);
    return double(both) / std::max(enclosed + inside - both, 1L);
}

// Return the distance between the midpoints of the diagonals, in halves of the outline's extent.
inline double skew(const std::vector<Peak>& outline) {
    if (outline.size() != 4) return 0;
    const Peak &a = outline[0], &b = outline[1], &c = outline[2], &d = outline[3];
    const auto [left, right] = std::minmax({a.x, b.x, c.x, d.x});
    const auto [top, bottom] = std::minmax({a.y, b.y, c.y, d.y});
    const double extent = std::hypot(right - left, bottom - top);
    return std::hypot(a.x - b.x + c.x - d.x, a.y - b.y + c.y - d.y) / std::max(extent, 1.0);
}

// Choose one peak per corner so that the outline fits best, by the scores of its peaks, its overlap and its skew.
inline std::vector<Peak> choose(const std::vector<std::vector<Peak>>& peaks, const float* sdf, int height, int width) {
    const std::size_t count = peaks.size();
    std::vector<std::size_t> choice(count, 0);
    std::vector<Peak> best;
    double highest = 0;
    for (bool more = true; more;) {
        std::vector<Peak> outline;
        for (std::size_t k = 0; k < count; ++k) outline.push_back(peaks[k][choice[k]]);
        std::vector<double> side;  // side[k] goes from corner k to the next one
        for (std::size_t k = 0; k < count; ++k)
            side.push_back(distance(outline[k], outline[(k + 1) % count], sdf, height, width));
        double fit = kOverlap * std::log(std::max(overlap(outline, sdf, height, width), 0.01));
        fit -= kSkew * skew(outline);
        for (std::size_t k = 0; k < count; ++k) {
            const double off = (side[k] + side[(k + count - 1) % count]) / 2, p = outline[k].value;
            outline[k].value = p / (p + (1 - p) * (1 + off));
            fit += std::log(std::max(outline[k].value, 1e-9));
        }
        if (best.empty() || fit > highest) best = outline, highest = fit;
        more = false;
        for (std::size_t k = 0; k < count && !more; ++k) {
            more = ++choice[k] < peaks[k].size();
            if (!more) choice[k] = 0;
        }
    }
    return best;
}
