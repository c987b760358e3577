// Find the corners of a document with OpenVINO in C++.
//
// Install:  pip install openvino; the compiler finds headers and libraries in the package
// Build:    P=$(python -c "import openvino; print(openvino.__path__[0])")
//           F="-std=c++17 -O2 -ffp-contract=off -I$P/include -Wl,-rpath,$P/libs"
//           g++ $F samples/cpp/corners.cpp $P/libs/libopenvino.so.* -o corners
// Run:      ./corners MODEL.xml PICTURE.ppm [INPUT]   (a picture as binary PPM; INPUT gets the letterboxed bytes)
// Prints:   a line for each corner: x, y in pixels of the picture, and what its peak is worth.

#include <fstream>
#include <iostream>
#include <openvino/openvino.hpp>
#include <stdexcept>

#include "decoding.hpp"

static Picture read_ppm(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::string kind;
    Picture picture;
    int most = 0;
    file >> kind;
    for (int* number : {&picture.width, &picture.height, &most}) {
        for (std::string comment; (file >> std::ws).peek() == '#';) std::getline(file, comment);
        file >> *number;
    }
    if (!file || kind != "P6" || most != 255 || picture.width < 1 || picture.height < 1)
        throw std::runtime_error(std::string(path) + " is no binary PPM with 8 bits");
    file.get();  // the one character before the pixels
    picture.rgb.resize(std::size_t(3) * picture.width * picture.height);
    if (!file.read(reinterpret_cast<char*>(picture.rgb.data()), picture.rgb.size()))
        throw std::runtime_error(std::string(path) + " is cut short");
    return picture;
}

int main(int argc, char** argv) try {
    if (argc < 3) throw std::runtime_error("usage: corners MODEL.xml PICTURE.ppm [INPUT]");
    const Picture picture = read_ppm(argv[2]);
    ov::Core core;
    // Newer CPUs would round float layers to bfloat16 unasked.
    auto model = core.compile_model(argv[1], "CPU", ov::hint::inference_precision(ov::element::f32),
                                    ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY));
    auto request = model.create_infer_request();
    ov::Tensor input = request.get_input_tensor();
    const auto shape = input.get_shape();  // 1, height, width, 4
    const Letterbox box = letterbox(picture, int(shape[1]), int(shape[2]), input.data<std::uint8_t>());
    if (argc > 3) std::ofstream(argv[3], std::ios::binary).write(static_cast<char*>(input.data()), input.get_byte_size());
    request.infer();
    const ov::Tensor maps = request.get_tensor("heatmaps"), offsets = request.get_tensor("offsets");
    const ov::Tensor sdf = request.get_tensor("sdf");
    const auto size = maps.get_shape();  // 1, corners, height / 4, width / 4
    auto points = decode(maps.data<float>(), offsets.data<float>(), sdf.data<float>(), int(size[1]), int(size[2]),
                         int(size[3]), box);
    order(points, box);
    for (const Point& p : points) std::cout << p.x << ' ' << p.y << ' ' << p.peak << '\n';
} catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
}
