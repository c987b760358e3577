// Corners of one outline chosen together, as edgehrnet/outline.py does it; see there.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

struct Peak {
    int column, row;  // cell
    double x, y;      // cells
    double height;    // 0..1; once chosen, what it is worth
};

constexpr double kLowest = 0.05;       // height from which on a second peak may be the corner
constexpr std::size_t kPeaks = 4;      // of a corner; Python takes fewer where there are more than four corners
constexpr int kRadius = 2;             // cells around a peak in which none is higher
constexpr int kAlong = 25;             // points of a side at which it is looked at
constexpr double kApart = 2, kFar = 100;  // cells: the least length of a side, and what a shorter one counts as

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

// Of each corner's peaks one, so that the product of what they are worth is the highest.
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
        double product = 0;
        for (std::size_t k = 0; k < count; ++k) {
            const double off = (side[k] + side[(k + count - 1) % count]) / 2, p = outline[k].height;
            outline[k].height = p / (p + (1 - p) * (1 + off));
            product += std::log(std::max(outline[k].height, 1e-9));
        }
        if (best.empty() || product > highest) best = outline, highest = product;
        more = false;
        for (std::size_t k = 0; k < count && !more; ++k) {
            more = ++choice[k] < peaks[k].size();
            if (!more) choice[k] = 0;
        }
    }
    return best;
}
