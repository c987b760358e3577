// Decode heatmaps, offsets and signed distances to points in picture pixels, like edgehrnet/decoding/__init__.py with
// decode="offset".
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "letterbox.hpp"
#include "outline.hpp"

struct Point {
    double x, y;   // picture pixels
    double score;  // 0..1, score of the heatmap peak
};

constexpr int kStride = 4;           // input pixels per heatmap cell
constexpr double kCellOffset = 1.5;  // center of cell 0, in input pixels
constexpr double kConfident = 0.25;  // a corner with at least this score counts as found

// Return whether a cell contains a part of the picture. Peaks in the padding are ignored.
inline bool inside(int cell, int start, int length) {
    const double center = kStride * cell + kCellOffset;
    return center + kStride / 2.0 > start - 0.5 && center - kStride / 2.0 < start + length - 0.5;
}

// Return the highest cell of `logits` [height, width], whatever its value, and the other local maxima, highest first.
inline std::vector<Peak> find_peaks(const float* logits, const float* offsets, int height, int width,
                                    const Letterbox& box) {
    std::vector<Peak> cells, peaks;
    for (int row = 0; row < height; ++row)
        for (int column = 0; column < width; ++column) {
            const bool valid = inside(row, box.top, box.content_height) && inside(column, box.left, box.content_width);
            if (!valid) continue;
            const int cell = row * width + column;
            const float* offset = offsets + cell;
            cells.push_back({column, row, column + double(offset[0]), row + double(offset[height * width]),
                             1 / (1 + std::exp(-double(logits[cell])))});
        }
    const auto higher = [](const Peak& a, const Peak& b) { return a.value > b.value; };
    std::stable_sort(cells.begin(), cells.end(), higher);
    for (std::size_t i = 0; i < cells.size() && peaks.size() < kPeaks && (i == 0 || cells[i].value >= kLowest); ++i) {
        // A cell near a higher one is not a peak, even if the higher one is not a peak either.
        const bool covered = std::any_of(cells.begin(), cells.begin() + i, [&](const Peak& other) {
            const int away = std::max(std::abs(other.column - cells[i].column), std::abs(other.row - cells[i].row));
            return away <= kRadius;
        });
        if (!covered) peaks.push_back(cells[i]);
    }
    return peaks;
}

// Decode all corners. `logits` is [count, height, width], `offsets` [2 * count, height, width] in cells with dx before
// dy, and `sdf` [height, width] the signed distance to the outline in cells.
inline std::vector<Point> decode(const float* logits, const float* offsets, const float* sdf, int count, int height,
                                 int width, const Letterbox& box) {
    const int cells = height * width;
    std::vector<std::vector<Peak>> peaks;
    for (int k = 0; k < count; ++k)
        peaks.push_back(find_peaks(logits + k * cells, offsets + 2 * k * cells, height, width, box));
    std::vector<Point> points;
    for (const Peak& p : choose(peaks, sdf, height, width))
        points.push_back(
            {box.to_picture_x(kStride * p.x + kCellOffset), box.to_picture_y(kStride * p.y + kCellOffset), p.value});
    return points;
}

// Rotate the corners so that the one with the smallest x/W + y/H comes first, unless a corner was not found.
inline void order(std::vector<Point>& outline, const Letterbox& box) {
    for (const Point& p : outline)
        if (p.score < kConfident) return;
    const auto first = std::min_element(outline.begin(), outline.end(), [&](const Point& a, const Point& b) {
        return a.x / box.width + a.y / box.height < b.x / box.width + b.y / box.height;
    });
    std::rotate(outline.begin(), first, outline.end());
}
