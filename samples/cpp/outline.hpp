// Corners of one outline chosen together, as edgehrnet/decoding/outline.py does it; see there.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

struct Peak {
    int column, row;  // cell
    double x, y;      // cells
    double height;    // 0..1; once chosen, what it is worth
};

constexpr double kLowest = 0.02;       // height from which on a second peak may be the corner
constexpr std::size_t kPeaks = 4;      // of a corner; Python takes fewer where there are more than four corners
constexpr int kRadius = 2;             // cells around a peak in which none is higher
constexpr int kAlong = 25;             // points of a side at which it is looked at
constexpr double kApart = 2, kFar = 100;  // cells: the least length of a side, and what a shorter one counts as
constexpr double kOverlap = 2, kSkew = 4;  // power of an outline's overlap with the field's; what a skew of 1 costs

// Mean distance in cells between the outline and the side from a to b; `sdf` [height, width].
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

// Intersection over union of the cells that the outline encloses and those that the field says are inside.
inline double overlap(const std::vector<Peak>& outline, const float* sdf, int height, int width) {
    long both = 0, enclosed = 0, inside = 0;
    for (int row = 0; row < height; ++row) {
        const float* cells = sdf + row * width;
        inside += std::count_if(cells, cells + width, [](float d) { return d < 0; });
        for (std::size_t k = 0; k < outline.size(); ++k) {
            const Peak &a = outline[k], &b = outline[(k + 1) % outline.size()];
            if ((a.y > row) == (b.y > row)) continue;
            const double at = a.x + (row - a.y) * (b.x - a.x) / (b.y - a.y);
            // Cells left of a side that goes down count, those left of one that goes up are taken off again.
            const long left = long(std::clamp(std::ceil(at), 0.0, double(width))), way = b.y > row ? 1 : -1;
            enclosed += way * left;
            both += way * std::count_if(cells, cells + left, [](float d) { return d < 0; });
        }
    }
    both = std::abs(both), enclosed = std::abs(enclosed);
    return double(both) / std::max(enclosed + inside - both, 1L);
}

// How far the middles of the diagonals lie apart, in halves of the outline's extent.
inline double skew(const std::vector<Peak>& outline) {
    if (outline.size() != 4) return 0;
    const Peak &a = outline[0], &b = outline[1], &c = outline[2], &d = outline[3];
    const auto [left, right] = std::minmax({a.x, b.x, c.x, d.x});
    const auto [top, bottom] = std::minmax({a.y, b.y, c.y, d.y});
    const double extent = std::hypot(right - left, bottom - top);
    return std::hypot(a.x - b.x + c.x - d.x, a.y - b.y + c.y - d.y) / std::max(extent, 1.0);
}

// Of each corner's peaks one, so that the outline fits best: by what they are worth, its overlap and its skew.
inline std::vector<Peak> choose(const std::vector<std::vector<Peak>>& peaks, const float* sdf, int height, int width) {
    const std::size_t count = peaks.size();
    std::vector<std::size_t> choice(count, 0);
    std::vector<Peak> best;
    double highest = 0;
    for (bool more = true; more;) {
        std::vector<Peak> outline;
        for (std::size_t k = 0; k < count; ++k) outline.push_back(peaks[k][choice[k]]);
        std::vector<double> side;  // k: from corner k to the next
        for (std::size_t k = 0; k < count; ++k)
            side.push_back(distance(outline[k], outline[(k + 1) % count], sdf, height, width));
        double fit = kOverlap * std::log(std::max(overlap(outline, sdf, height, width), 0.01));
        fit -= kSkew * skew(outline);
        for (std::size_t k = 0; k < count; ++k) {
            const double off = (side[k] + side[(k + count - 1) % count]) / 2, p = outline[k].height;
            outline[k].height = p / (p + (1 - p) * (1 + off));
            fit += std::log(std::max(outline[k].height, 1e-9));
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
