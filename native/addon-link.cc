#include "addon-link.h"

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "addon-queue.h"
#include "link/endpoint.h"
#include "link/rounds.h"
#include "link/ucx-api.h"
#include "link/ucx-link.h"

namespace claw::addon {
namespace {

struct ListenerHandle {
  Descriptor socket;
  LinkDriver driver;
};

// Work that may wait for a peer, on a thread of libuv's pool; its promise is settled afterwards.
class LinkWork {
 public:
  virtual ~LinkWork() = default;

  static napi_value start(napi_env env, std::unique_ptr<LinkWork> work) {
    napi_value promise = nullptr;
    napi_create_promise(env, &work->deferred_, &promise);
    const napi_value name = makeString(env, "claw link");
    LinkWork* raw = work.release();
    napi_create_async_work(env, nullptr, name, execute, settle, raw, &raw->work_);
    napi_queue_async_work(env, raw->work_);
    return promise;
  }

 protected:
  virtual Error run() = 0;
  // Lets go of what JavaScript lent, and makes what the promise resolves to.
  virtual napi_value conclude(napi_env env) = 0;

 private:
  static void execute(napi_env, void* data) {
    auto* work = static_cast<LinkWork*>(data);
    work->error_ = work->run();
  }

  static void settle(napi_env env, napi_status, void* data) {
    const std::unique_ptr<LinkWork> work(static_cast<LinkWork*>(data));
    napi_delete_async_work(env, work->work_);
    const napi_value value = work->conclude(env);
    if (work->error_) {
      napi_reject_deferred(env, work->deferred_, makeErrorValue(env, work->error_));
    } else {
      napi_resolve_deferred(env, work->deferred_, value);
    }
  }

  napi_deferred deferred_ = nullptr;
  napi_async_work work_ = nullptr;
  Error error_;
};

napi_value makeHandle(napi_env env, std::unique_ptr<Link> link) {
  auto handle = std::make_shared<LinkHandle>();
  handle->link = std::move(link);
  return external(env, new LinkReference(std::move(handle)));
}

class ConnectWork final : public LinkWork {
 public:
  ConnectWork(LinkAddress address, Milliseconds time) : address_(std::move(address)), time_(time) {}

 private:
  Error run() override { return claw::connectLink(address_, time_, &link_); }
  napi_value conclude(napi_env env) override { return link_ == nullptr ? nullptr : makeHandle(env, std::move(link_)); }

  LinkAddress address_;
  Milliseconds time_;
  std::unique_ptr<Link> link_;
};

// Work on a link, which nothing else touches meanwhile.
class BusyWork : public LinkWork {
 public:
  BusyWork(LinkReference handle, std::vector<napi_ref> lent) : handle_(std::move(handle)), lent_(std::move(lent)) {
    handle_->busy = true;
  }

 protected:
  Link* link() const { return handle_->link.get(); }
  virtual napi_value value(napi_env env) = 0;

 private:
  napi_value conclude(napi_env env) final {
    handle_->giveBack();
    const napi_value result = value(env);
    for (napi_ref reference : lent_) napi_delete_reference(env, reference);
    return result;
  }

  LinkReference handle_;
  std::vector<napi_ref> lent_;
};

class ExchangeWork final : public BusyWork {
 public:
  struct Plan {
    std::optional<std::span<const uint8_t>> outgoing;
    std::optional<std::span<uint8_t>> incoming;
    Patience patience;
  };
  ExchangeWork(LinkReference handle, std::vector<napi_ref> lent, Plan plan)
      : BusyWork(std::move(handle), std::move(lent)), plan_(plan) {}

 private:
  Error run() override {
    if (plan_.outgoing) {
      if (Error error = link()->postSend(*plan_.outgoing)) return error;
    }
    if (plan_.incoming) {
      if (Error error = link()->postReceive(*plan_.incoming)) {
        link()->withdraw();
        return error;
      }
    }
    Error error = complete(link(), plan_.patience);
    received_ = plan_.incoming ? link()->receivedBytes() : 0;
    return error;
  }
  napi_value value(napi_env env) override { return makeNumber(env, static_cast<double>(received_)); }

  const Plan plan_;
  size_t received_ = 0;
};

// Takes a link over TCP and gives back one over UCX.
class ChangeWork final : public LinkWork {
 public:
  ChangeWork(LinkReference handle, UcxTerms terms) : handle_(std::move(handle)), terms_(terms) { handle_->busy = true; }

 private:
  Error run() override { return changeToUcx(handle_->link, terms_, &changed_); }
  napi_value conclude(napi_env env) override {
    if (changed_ != nullptr) handle_->link = std::move(changed_);
    handle_->giveBack();
    return makeNumber(env, 0);
  }

  LinkReference handle_;
  const UcxTerms terms_;
  std::unique_ptr<Link> changed_;
};

class TimeWork final : public BusyWork {
 public:
  TimeWork(LinkReference handle, RoundPlan plan, bool echo)
      : BusyWork(std::move(handle), {}), plan_(plan), echo_(echo) {}

 private:
  Error run() override {
    if (echo_) return echoRounds(link(), plan_);
    if (Error error = askRounds(link(), plan_, &times_)) return error;
    return link()->needsKeys() ? timeWire(plan_, &wire_) : Error{};
  }

  napi_value value(napi_env env) override {
    napi_value result = nullptr;
    napi_create_object(env, &result);
    setProperty(env, result, "oneWay", makeFloats(env, times_.oneWay));
    setProperty(env, result, "copy", makeFloats(env, times_.copy));
    setProperty(env, result, "wire", makeFloats(env, wire_));
    return result;
  }

  static napi_value makeFloats(napi_env env, const std::vector<double>& numbers) {
    void* memory = nullptr;
    napi_value buffer = nullptr;
    napi_value array = nullptr;
    const size_t bytes = numbers.size() * sizeof(double);
    napi_create_arraybuffer(env, bytes, &memory, &buffer);
    if (bytes > 0) std::memcpy(memory, numbers.data(), bytes);
    napi_create_typedarray(env, napi_float64_array, numbers.size(), buffer, 0, &array);
    return array;
  }

  const RoundPlan plan_;
  const bool echo_;
  RoundTimes times_;
  std::vector<double> wire_;
};

LinkAddress readAddress(Arguments* arguments) {
  LinkAddress address;
  const int32_t driver = arguments->integer();
  address.driver = driver == 0 ? LinkDriver::shared : driver == 1 ? LinkDriver::tcp : LinkDriver::ucx;
  address.host = arguments->string();
  address.port = static_cast<uint16_t>(arguments->integer());
  return address;
}

// The bytes of a Uint8Array, kept alive by a reference; nothing where it is undefined.
std::optional<std::span<const uint8_t>> lend(napi_env env, Arguments* arguments, std::vector<napi_ref>* lent) {
  const napi_value value = arguments->next();
  napi_valuetype kind = napi_undefined;
  napi_typeof(env, value, &kind);
  if (kind == napi_undefined) return std::nullopt;
  const std::span<const uint8_t> bytes = arguments->bytes(value);
  napi_ref reference = nullptr;
  if (arguments->intact() && napi_create_reference(env, value, 1, &reference) == napi_ok) lent->push_back(reference);
  return bytes;
}

Patience readPatience(int32_t spinMicros, int32_t limitMs) {
  return {std::chrono::microseconds(spinMicros), Milliseconds(limitMs)};
}

}  // namespace

void LinkHandle::giveBack() {
  busy = false;
  if (closing != Drop::none) link->close(closing);
}

LinkReference freeLink(napi_env env, Arguments* arguments) {
  const auto* reference = arguments->held<LinkReference>();
  if (!arguments->intact()) return nullptr;
  if ((*reference)->free()) return *reference;
  throwError(env, makeError("E_INTERNAL", "A message is still moving over the link."));
  return nullptr;
}

napi_value listenLink(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const LinkAddress address = readAddress(&arguments);
  if (!arguments.intact()) return nullptr;
  Descriptor socket;
  if (const Error error = listenAt(address, &socket)) return throwError(env, error);
  return external(env, new ListenerHandle{std::move(socket), address.driver});
}

napi_value listenerPort(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const auto* listener = arguments.held<ListenerHandle>();
  return arguments.intact() ? makeNumber(env, portOf(listener->socket)) : nullptr;
}

napi_value closeListener(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  auto* listener = arguments.held<ListenerHandle>();
  if (arguments.intact()) listener->socket.reset();
  return nullptr;
}

napi_value acceptLink(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const auto* listener = arguments.held<ListenerHandle>();
  if (!arguments.intact()) return nullptr;
  std::unique_ptr<Link> link;
  const Error error = claw::acceptLink(listener->socket, listener->driver, Milliseconds(0), &link);
  if (!error) return makeHandle(env, std::move(link));
  return std::strcmp(error.code, "E_DEADLINE") == 0 ? nullptr : throwError(env, error);
}

napi_value connectLink(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  LinkAddress address = readAddress(&arguments);
  const Milliseconds time(arguments.integer());
  if (!arguments.intact()) return nullptr;
  return LinkWork::start(env, std::make_unique<ConnectWork>(std::move(address), time));
}

napi_value openLink(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const LinkReference handle = freeLink(env, &arguments);
  if (handle == nullptr) return nullptr;
  LinkTerms terms;
  terms.epoch = static_cast<uint64_t>(arguments.number());
  terms.messageBytesMax = static_cast<size_t>(arguments.number());
  const std::span<const uint8_t> keys = arguments.bytes(arguments.next());
  if (!arguments.intact()) return nullptr;
  if (keys.size() == 2 * kAeadKeyBytes) {
    Error error = makeAesGcm(keys.first(kAeadKeyBytes), AeadUse::sealing, &terms.sealing);
    if (!error) error = makeAesGcm(keys.last(kAeadKeyBytes), AeadUse::opening, &terms.opening);
    if (error) return throwError(env, error);
  }
  if (const Error error = handle->link->open(std::move(terms))) return throwError(env, error);
  return nullptr;
}

napi_value changeLink(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const LinkReference handle = freeLink(env, &arguments);
  if (handle == nullptr) return nullptr;
  UcxTerms terms;
  terms.local = arguments.integer() != 0;
  const int32_t spin = arguments.integer();
  terms.patience = readPatience(spin, arguments.integer());
  if (!arguments.intact()) return nullptr;
  return LinkWork::start(env, std::make_unique<ChangeWork>(handle, terms));
}

napi_value requireUcx(napi_env env, napi_callback_info) {
  const Error error = checkUcx();
  return error ? throwError(env, error) : nullptr;
}

napi_value exchangeLink(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const LinkReference handle = freeLink(env, &arguments);
  if (handle == nullptr) return nullptr;
  std::vector<napi_ref> lent;
  ExchangeWork::Plan plan;
  plan.outgoing = lend(env, &arguments, &lent);
  if (const auto into = lend(env, &arguments, &lent)) plan.incoming = {const_cast<uint8_t*>(into->data()), into->size()};
  const int32_t spin = arguments.integer();
  plan.patience = readPatience(spin, arguments.integer());
  if (!arguments.intact()) return nullptr;
  return LinkWork::start(env, std::make_unique<ExchangeWork>(handle, std::move(lent), plan));
}

napi_value timeLink(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const LinkReference handle = freeLink(env, &arguments);
  if (handle == nullptr) return nullptr;
  const std::span<const int32_t> numbers = arguments.integers();
  if (!arguments.intact()) return nullptr;
  if (numbers.size() != 5 || numbers[0] < 0 || static_cast<size_t>(numbers[0]) > kMessageBytesMax || numbers[1] < 1) {
    return throwError(env, makeError("E_INTERNAL", "The description of rounds is wrong."));
  }
  const RoundPlan plan{static_cast<size_t>(numbers[0]), numbers[1], readPatience(numbers[2], numbers[3])};
  return LinkWork::start(env, std::make_unique<TimeWork>(handle, plan, numbers[4] != 0));
}

napi_value linkPair(napi_env env, napi_callback_info) {
  std::unique_ptr<Link> links[2];
  if (const Error error = makePair(&links[0], &links[1])) return throwError(env, error);
  napi_value pair = nullptr;
  napi_create_array(env, &pair);
  for (uint32_t side = 0; side < 2; side++) {
    LinkTerms terms;
    terms.messageBytesMax = kMessageBytesMax;
    if (const Error error = links[side]->open(std::move(terms))) return throwError(env, error);
    napi_set_element(env, pair, side, makeHandle(env, std::move(links[side])));
  }
  return pair;
}

napi_value closeLink(napi_env env, napi_callback_info call) {
  Arguments arguments(env, call);
  const auto* reference = arguments.held<LinkReference>();
  const auto reason = static_cast<Drop>(arguments.integer());
  if (!arguments.intact()) return nullptr;
  LinkHandle& handle = **reference;
  handle.closing = reason == Drop::none ? Drop::closed : reason;
  if (handle.queue != nullptr) {
    handle.queue->close(handle.closing);
  } else if (handle.busy) {
    handle.link->interrupt();
  } else {
    handle.link->close(handle.closing);
  }
  return nullptr;
}

}  // namespace claw::addon
