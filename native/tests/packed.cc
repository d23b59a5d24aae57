#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "executor/checksum.h"
#include "executor/matrix-read.h"
#include "tests/check.h"
#include "tests/matrix.h"

namespace {

using namespace claw;

constexpr size_t kPage = 65536;

void testChecksum() {
  test::Random random(11);
  std::vector<uint8_t> bytes(1000);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.bits());
  for (const size_t count : {size_t{0}, size_t{1}, size_t{7}, size_t{8}, size_t{63}, size_t{64}, size_t{65}, size_t{1000}}) {
    const uint64_t whole = checksum(bytes.data(), count);
    CHECK(whole == checksum(bytes.data(), count));
    CHECK(count == 0 || whole != checksum(bytes.data(), count - 1));
    for (size_t bit = 0; bit < count * 8; bit++) {
      bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      CHECK(whole != checksum(bytes.data(), count));
      bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    }
  }
  // Two words that change places are noticed, in one lane and across lanes.
  for (const size_t other : {size_t{8}, size_t{64}}) {
    const uint64_t whole = checksum(bytes.data(), bytes.size());
    std::vector<uint8_t> swapped = bytes;
    std::memcpy(swapped.data(), bytes.data() + other, 8);
    std::memcpy(swapped.data() + other, bytes.data(), 8);
    CHECK(whole != checksum(swapped.data(), swapped.size()));
  }
}

// The checksum of packed bytes, as whoever writes them computes it.
uint64_t blockChecksum(const Region& region) {
  std::vector<uint64_t> sums;
  for (size_t at = 0; at < region.used(); at += kChecksumBlock) {
    const size_t rest = region.used() - at;
    sums.push_back(checksum(region.base() + at, rest < kChecksumBlock ? rest : kChecksumBlock));
  }
  return checksum(reinterpret_cast<const uint8_t*>(sums.data()), sums.size() * sizeof(uint64_t));
}

int temporaryFile(const Region& region) {
  char name[] = "claw-packed-XXXXXX";
  const int descriptor = mkstemp(name);
  CHECK(descriptor >= 0 && unlink(name) == 0);
  CHECK(pwrite(descriptor, region.base(), region.used(), kPage) == static_cast<ssize_t>(region.used()));
  return descriptor;
}

int32_t reread(const std::shared_ptr<Device>& device, const MatrixShape& shape, const FilePlace& place, uint64_t sum) {
  std::unique_ptr<MatrixRead> read;
  CHECK(!MatrixRead::begin(device, shape, place, sum, &read));
  Barrier barrier(1);
  read->run(Team{0, 1, barrier});
  int32_t id = -2;
  CHECK(!read->end(&id));
  return id;
}

void testReading() {
  const std::shared_ptr<Device> device = Device::create(1, "scalar", Pinning::automatic);
  test::Random random(12);
  for (const Format format : {Format::f16, Format::i8, Format::i4}) {
    const MatrixShape shape = {format, 70, 192, 3, 0, 3};
    const test::Packed packed = test::pack(*device, shape, test::randomFloats(&random, size_t{70} * 192));
    const int descriptor = temporaryFile(packed.region);
    const uint64_t sum = blockChecksum(packed.region);
    const size_t before = device->arena().bytes(Purpose::weights);
    const int32_t id = reread(device, shape, {descriptor, kPage}, sum);
    CHECK(id >= 0 && device->arena().bytes(Purpose::weights) == before + packed.region.size());
    const auto bytes = device->matrixBytes(id);
    CHECK(bytes->used() == packed.region.used());
    CHECK(std::memcmp(bytes->base(), packed.region.base(), bytes->used()) == 0);
    CHECK(reread(device, shape, {descriptor, kPage}, sum + 1) == -1);
    CHECK(device->arena().bytes(Purpose::weights) == before + packed.region.size());
    // A file that ends before the matrix does is refused, not touched.
    CHECK(ftruncate(descriptor, static_cast<off_t>(kPage + packed.region.used() - 1)) == 0);
    std::unique_ptr<MatrixRead> read;
    CHECK(MatrixRead::begin(device, shape, {descriptor, kPage}, sum, &read));
    CHECK(MatrixRead::begin(device, shape, {descriptor, -1}, sum, &read));
    close(descriptor);
    // Bytes outlive the device that held them.
    device->release();
    CHECK(std::memcmp(bytes->base(), packed.region.base(), bytes->used()) == 0);
  }
  CHECK(device->matrixBytes(0) == nullptr && device->matrixBytes(-1) == nullptr);
}

}  // namespace

int main() {
  testChecksum();
  testReading();
  return 0;
}
