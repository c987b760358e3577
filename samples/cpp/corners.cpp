// Find the corners of a document with OpenVINO in C++.
//
// Install:  pip install openvino, which contains the headers and libraries
// Build:    P=$(python -c "import openvino; print(openvino.__path__[0])")
//           F="-std=c++17 -O2 -ffp-contract=off -I$P/include -Wl,-rpath,$P/libs"
//           g++ $F samples/cpp/corners.cpp $P/libs/libopenvino.so.* -o corners
// Run:      ./corners MODEL.xml PICTURE.ppm [INPUT]   (a binary PPM picture; INPUT is a file for the letterboxed bytes)
// Prints:   one line per corner: x and y in pixels of the picture, and the score of its peak from 0 to 1.

#include <fstream>
#include <iostream>
#include <openvino/openvino.hpp>
#include <stdexcept>

#include "decoding.hpp"

static Picture read_ppm(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::string kind;
    Picture picture;
    int maximum = 0;
    file >> kind;
    for (int* value : {&picture.width, &picture.height, &maximum}) {
        for (std::string comment; (file >> std::ws).peek() == '#';) std::getline(file, comment);
        file >> *value;
    }
    if (!file || kind != "P6" || maximum != 255 || picture.width < 1 || picture.height < 1)
        throw std::runtime_error(std::string(path) + " is not an 8-bit binary PPM picture");
    file.get();  // one whitespace character before the pixels
    picture.rgb.resize(std::size_t(3) * picture.width * picture.height);
    if (!file.read(reinterpret_cast<char*>(picture.rgb.data()), picture.rgb.size()))
        throw std::runtime_error(std::string(path) + " is truncated");
    return picture;
}

int main(int argc, char** argv) try {
    if (argc < 3) throw std::runtime_error("usage: corners MODEL.xml PICTURE.ppm [INPUT]");
    const Picture picture = read_ppm(argv[2]);
    ov::Core core;
    // By default, CPUs with bfloat16 round float layers to it.
    auto model = core.compile_model(argv[1], "CPU", ov::hint::inference_precision(ov::element::f32),
                                    ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY));
    auto request = model.create_infer_request();
    ov::Tensor input = request.get_input_tensor();
    const auto shape = input.get_shape();  // 1, height, width, 4
    const Letterbox box = letterbox(picture, int(shape[1]), int(shape[2]), input.data<std::uint8_t>());
    if (argc > 3) {
        std::ofstream file(argv[3], std::ios::binary);
        file.write(static_cast<char*>(input.data()), input.get_byte_size());
    }
    request.infer();
    const ov::Tensor maps = request.get_tensor("heatmaps"), offsets = request.get_tensor("offsets");
    const ov::Tensor sdf = request.get_tensor("sdf");
    const auto size = maps.get_shape();  // 1, corners, height / 4, width / 4
    auto points = decode(maps.data<float>(), offsets.data<float>(), sdf.data<float>(), int(size[1]), int(size[2]),
                         int(size[3]), box);
    order(points, box);
    for (const Point& p : points) std::cout << p.x << ' ' << p.y << ' ' << p.score << '\n';
} catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
}
