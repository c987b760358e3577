// Resize a picture to the network input, like edgehrnet/picture/letterbox.py, which documents the pixel convention and
// the filter.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

struct Picture {
    int width = 0, height = 0;
    std::vector<std::uint8_t> rgb;  // height x width x 3
};

// Position of the picture in the input, in pixels.
struct Letterbox {
    int width, height, input_width, input_height, content_width, content_height, left, top;

    static Letterbox fit(int width, int height, int input_height, int input_width) {
        const double shrink = std::max(double(width) / input_width, double(height) / input_height);
        const int w = std::min(input_width, std::max(1, int(std::nearbyint(width / shrink))));
        const int h = std::min(input_height, std::max(1, int(std::nearbyint(height / shrink))));
        return {width, height, input_width, input_height, w, h, (input_width - w) / 2, (input_height - h) / 2};
    }
    // Convert input pixels to picture pixels. Pixel centers are integers in both.
    double to_picture_x(double x) const { return (x - left + 0.5) * width / content_width - 0.5; }
    double to_picture_y(double y) const { return (y - top + 0.5) * height / content_height - 0.5; }
};

namespace detail {

// Indices and weights of three neighbors: a quadratic B-spline with integer weights that sum to `unit`.
struct Taps {
    int index[3], weight[3];
};

inline std::vector<Taps> spline(int count, double step, int unit, int available) {
    std::vector<Taps> taps(count);
    for (int i = 0; i < count; ++i) {
        const double position = (i + 0.5) * step - 0.5;
        const int middle = int(std::floor(position + 0.5));
        const double phase = position - middle;
        const int above = int(std::nearbyint(unit / 2.0 * (0.5 - phase) * (0.5 - phase)));
        const int below = int(std::nearbyint(unit / 2.0 * (0.5 + phase) * (0.5 + phase)));
        taps[i] = {{middle - 1, middle, middle + 1}, {above, unit - above - below, below}};
        for (int& index : taps[i].index) index = std::clamp(index, 0, available - 1);
    }
    return taps;
}

// Average blocks of k x k pixels, vertically and then horizontally, rounding to integers after each pass. Blocks at the
// right and bottom edges may be smaller. The result equals that of NumPy and Pillow to the last bit: partial rows are
// rounded half to even, and the horizontal pass multiplies by 2^24 / count, rounded down, instead of dividing.
inline Picture box_average(const Picture& picture, int k) {
    if (k == 1) return picture;
    Picture out{(picture.width + k - 1) / k, (picture.height + k - 1) / k, {}};
    std::vector<int> line(3 * std::size_t(picture.width));
    for (int row = 0; row < out.height; ++row) {
        const int rows = std::min(k, picture.height - row * k);
        std::fill(line.begin(), line.end(), 0);
        for (int i = 0; i < rows; ++i) {
            const auto* source = &picture.rgb[std::size_t(row * k + i) * line.size()];
            for (std::size_t j = 0; j < line.size(); ++j) line[j] += source[j];
        }
        for (int& value : line) value = rows == k ? (value + k / 2) / k : int(std::nearbyint(double(value) / rows));
        for (int column = 0; column < out.width; ++column) {
            const int columns = std::min(k, picture.width - column * k);
            const std::uint32_t factor = (std::uint32_t(1) << 24) / columns;
            for (int c = 0; c < 3; ++c) {
                std::uint32_t sum = columns / 2;
                for (int i = 0; i < columns; ++i) sum += line[3 * (column * k + i) + c];
                out.rgb.push_back(std::uint8_t((sum * factor) >> 24));
            }
        }
    }
    return out;
}

}  // namespace detail

// Fill `input` [input_height, input_width, 4] with RGB and a mask that is 255 in the picture and 0 in the padding.
inline Letterbox letterbox(const Picture& picture, int input_height, int input_width, std::uint8_t* input) {
    const Letterbox box = Letterbox::fit(picture.width, picture.height, input_height, input_width);
    const double shrink = std::max(double(picture.width) / input_width, double(picture.height) / input_height);
    const int k = std::max(1, int(std::nearbyint(shrink)));
    const Picture small = detail::box_average(picture, k);
    const double step_y = double(picture.height) / box.content_height / k;
    const double step_x = double(picture.width) / box.content_width / k;
    const auto rows = detail::spline(box.content_height, step_y, 256, small.height);
    const auto columns = detail::spline(box.content_width, step_x, 64, small.width);
    std::fill(input, input + std::size_t(4) * input_height * input_width, std::uint8_t(0));
    std::vector<int> line(3 * std::size_t(small.width));
    for (int y = 0; y < box.content_height; ++y) {
        for (std::size_t j = 0; j < line.size(); ++j) {
            int sum = 32;  // two extra bits are kept between the passes
            for (int i = 0; i < 3; ++i) sum += rows[y].weight[i] * small.rgb[rows[y].index[i] * line.size() + j];
            line[j] = sum >> 6;
        }
        for (int x = 0; x < box.content_width; ++x) {
            auto* pixel = input + std::size_t(4) * ((box.top + y) * input_width + box.left + x);
            for (int c = 0; c < 3; ++c) {
                int sum = 128;
                for (int i = 0; i < 3; ++i) sum += columns[x].weight[i] * line[3 * columns[x].index[i] + c];
                pixel[c] = std::uint8_t(sum >> 8);
            }
            pixel[3] = 255;
        }
    }
    return box;
}
