// LDPC4QKD FOLDER CHECKS BITS FRAMES ITERATIONS: decodes the frames that the benchmark wrote into the folder, with the
// peer's decoder, and prints the figures. Only decoding is timed.

#include <ctime>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <set>
#include <stdexcept>

#include "rate_adaptive_code.hpp"

template <typename T>
std::vector<T> stored(const std::string& path, std::size_t count) {
    std::vector<T> values(count);
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count * sizeof(T)));
    if (!file) std::exit(3);
    return values;
}

int main(int argc, char** argv) {
    if (argc != 6) return 2;
    const std::string folder = std::string(argv[1]) + "/";
    const std::size_t checks = std::strtoul(argv[2], nullptr, 10), bits = std::strtoul(argv[3], nullptr, 10);
    const std::size_t frames = std::strtoul(argv[4], nullptr, 10), iterations = std::strtoul(argv[5], nullptr, 10);
    const auto starts = stored<std::uint32_t>(folder + "starts", bits + 1);
    const auto rows = stored<std::uint32_t>(folder + "rows", starts.back());
    const auto ratios = stored<double>(folder + "ratios", bits);
    const auto syndromes = stored<std::uint8_t>(folder + "syndromes", frames * checks);
    const auto patterns = stored<std::uint8_t>(folder + "patterns", frames * bits);
    LDPC4QKD::RateAdaptiveCode<std::uint32_t> code(starts, rows);
    double seconds = 0.0;
    int wrong = 0;
    for (std::size_t i = 0; i < frames; ++i) {
        const std::vector<std::uint8_t> wanted(syndromes.begin() + i * checks, syndromes.begin() + (i + 1) * checks);
        std::vector<std::uint8_t> found(bits);
        const std::clock_t begin = std::clock();
        const bool done = code.decode_at_current_rate(ratios, wanted, found, iterations);
        seconds += static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
        wrong += !done || !std::equal(found.begin(), found.end(), patterns.begin() + i * bits);
    }
    std::printf("{\"seconds\": %.9f, \"wrong\": %d}\n", seconds, wrong);
    return 0;
}
