// Heatmaps and offsets -> points in picture pixels, as edgehrnet/decoding.py does it with decode="offset".
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "letterbox.hpp"

struct Point {
    double x, y;   // picture pixels
    double peak;   // 0..1, the height of the heatmap
};

constexpr int kStride = 4;           // input pixels per heatmap cell
constexpr double kCellOffset = 1.5;  // the centre of cell 0
constexpr double kCertain = 0.25;    // from here on a corner counts as found

// Whether a cell contains a part of the picture: in the padding, no peak counts.
inline bool inside(int cell, int start, int length) {
    const double centre = kStride * cell + kCellOffset;
    return centre + kStride / 2.0 > start - 0.5 && centre - kStride / 2.0 < start + length - 0.5;
}

// `logits` [count, height, width], `offsets` [2 * count, height, width] in cells, dx before dy.
inline std::vector<Point> decode(const float* logits, const float* offsets, int count, int height, int width,
                                 const Letterbox& box) {
    std::vector<Point> points;
    for (int k = 0; k < count; ++k) {
        int best = -1;
        for (int cell = 0; cell < height * width; ++cell) {
            const bool counts = inside(cell / width, box.top, box.content_height) &&
                                inside(cell % width, box.left, box.content_width);
            if (counts && (best < 0 || logits[k * height * width + cell] > logits[k * height * width + best]))
                best = cell;
        }
        const float* offset = offsets + 2 * k * height * width + best;
        const double x = best % width + offset[0], y = best / width + offset[height * width];
        points.push_back({box.to_picture_x(kStride * x + kCellOffset), box.to_picture_y(kStride * y + kCellOffset),
                          1 / (1 + std::exp(-double(logits[k * height * width + best])))});
    }
    return points;
}

// An outline begins at its smallest x/W + y/H, once all its corners are found.
inline void order(std::vector<Point>& outline, const Letterbox& box) {
    for (const Point& p : outline)
        if (p.peak < kCertain) return;
    const auto first = std::min_element(outline.begin(), outline.end(), [&](const Point& a, const Point& b) {
        return a.x / box.width + a.y / box.height < b.x / box.width + b.y / box.height;
    });
    std::rotate(outline.begin(), first, outline.end());
}
