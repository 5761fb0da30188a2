// cascade-cpp ALGORITHM BITS QBER FRAMES SEED: corrects so many frames with the peer's library and prints the figures.
// Only the correction is timed, not the drawing of frames.

#include <ctime>
#include <cstdio>
#include <cstdlib>

#include "algorithm.h"
#include "key.h"
#include "mock_classical_session.h"
#include "random.h"
#include "reconciliation.h"

int main(int argc, char** argv) {
    if (argc != 6) return 2;
    const Cascade::Algorithm* algorithm = Cascade::Algorithm::get_by_name(argv[1]);
    const int bits = std::atoi(argv[2]), frames = std::atoi(argv[4]);
    const double qber = std::atof(argv[3]);
    if (!algorithm) return 3;
    Cascade::set_random_uint32_seed(static_cast<uint32_t>(std::atoi(argv[5])));
    double seconds = 0.0, parities = 0.0;
    int wrong = 0;
    for (int i = 0; i < frames; ++i) {
        Cascade::Key alice(bits);
        Cascade::Key bob = alice;
        bob.apply_noise(qber);
        Cascade::MockClassicalSession session(alice, algorithm->cache_shuffles);
        const std::clock_t begin = std::clock();
        Cascade::Reconciliation work(*algorithm, session, bob, qber);
        work.reconcile();
        seconds += static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
        parities += static_cast<double>(work.get_stats().ask_parity_blocks);
        wrong += alice.nr_bits_different(work.get_reconciled_key()) > 0;
    }
    std::printf("{\"seconds\": %.9f, \"parities\": %.1f, \"wrong\": %d}\n", seconds, parities, wrong);
    return 0;
}
