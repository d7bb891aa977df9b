"""The targets by their names: coroutine functions that take what decides, and fail by raising."""

import fuzz_ancillary
import fuzz_buffered
import fuzz_framing
import fuzz_text
import fuzz_tls

TARGETS = {
    "ancillary": fuzz_ancillary.check,
    "buffered": fuzz_buffered.check,
    "framing": fuzz_framing.check,
    "text": fuzz_text.check,
    "tls": fuzz_tls.check,
}
