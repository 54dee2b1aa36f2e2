"""subunit v2, in bytes that python-subunit wrote."""

import base64
import struct
import zlib

import pytest

from cupel.core.results import Outcome
from unit.report import reading

RECORDED = base64.b64decode(
    b"sykBEwp0LlQudGVzdF9hdPmqDrMpARMKdC5ULnRlc3RfYu3w+7SzKQETCnQuVC50ZXN0X2Oa98sisykBEwp0LlQu"
    b"dGVzdF9kBJNegbMpARMKdC5ULnRlc3RfZXOUbhezKwIbawIjqu/BuSgKdC5ULnRlc3RfYfhvsbuzKwMbawIjqu/C"
    b"iDAKdC5ULnRlc3RfYcsvuFazKwIbawIjqu/C+XgKdC5ULnRlc3RfYpzxDn2zK2BAfmsCI6rvw/8wCnQuVC50ZXN0"
    b"X2IzdGV4dC94LXRyYWNlYmFjazsgY2hhcnNldD0idXRmOCI7IGxhbmd1YWdlPSJweXRob24iCXRyYWNlYmFjayNU"
    b"cmFjZWJhY2sgKG1vc3QgcmVjZW50IGNhbGwgbGFzdCk6CgNxzPKzK2BA6GsCI6rvw/8wCnQuVC50ZXN0X2IzdGV4"
    b"dC94LXRyYWNlYmFjazsgY2hhcnNldD0idXRmOCI7IGxhbmd1YWdlPSJweXRob24iCXRyYWNlYmFja0CMICBGaWxl"
    b"ICIvdG1wL3Jlc3VsdHMtdHJ5L3QucHkiLCBsaW5lIDQsIGluIHRlc3RfYgogICAgZGVmIHRlc3RfYihzZWxmKTog"
    b"c2VsZi5hc3NlcnRFcXVhbCgxLCAyKQogICAgICAgICAgICAgICAgICAgICAgXl5eXl5eXl5eXl5eXl5eXl5eXl5e"
    b"XgrfSSUIsytgQOdrAiOq78P/MAp0LlQudGVzdF9iM3RleHQveC10cmFjZWJhY2s7IGNoYXJzZXQ9InV0ZjgiOyBs"
    b"YW5ndWFnZT0icHl0aG9uIgl0cmFjZWJhY2tAiyAgRmlsZSAiL3Jvb3QvLnB5ZW52L3ZlcnNpb25zLzMuMTEuNy9s"
    b"aWIvcHl0aG9uMy4xMS91bml0dGVzdC9jYXNlLnB5IiwgbGluZSA4NzMsIGluIGFzc2VydEVxdWFsCiAgICBhc3Nl"
    b"cnRpb25fZnVuYyhmaXJzdCwgc2Vjb25kLCBtc2c9bXNnKQrtXA5RsytgQOZrAiOq78P/MAp0LlQudGVzdF9iM3Rl"
    b"eHQveC10cmFjZWJhY2s7IGNoYXJzZXQ9InV0ZjgiOyBsYW5ndWFnZT0icHl0aG9uIgl0cmFjZWJhY2tAiiAgRmls"
    b"ZSAiL3Jvb3QvLnB5ZW52L3ZlcnNpb25zLzMuMTEuNy9saWIvcHl0aG9uMy4xMS91bml0dGVzdC9jYXNlLnB5Iiwg"
    b"bGluZSA4NjYsIGluIF9iYXNlQXNzZXJ0RXF1YWwKICAgIHJhaXNlIHNlbGYuZmFpbHVyZUV4Y2VwdGlvbihtc2cp"
    b"CkXZH6GzK3BAcmsCI6rvw/8wCnQuVC50ZXN0X2IzdGV4dC94LXRyYWNlYmFjazsgY2hhcnNldD0idXRmOCI7IGxh"
    b"bmd1YWdlPSJweXRob24iCXRyYWNlYmFjaxdBc3NlcnRpb25FcnJvcjogMSAhPSAyChcYcgCzKwYbawIjqu/D/zAK"
    b"dC5ULnRlc3RfYoWN9WOzKwIbawIjqvCW52AKdC5ULnRlc3RfY4FOF9ezK3BAQWsCI6rwl1DYCnQuVC50ZXN0X2MY"
    b"dGV4dC9wbGFpbjsgY2hhcnNldD11dGY4BnJlYXNvbgRub3BlHRWx0LMrBRtrAiOq8JdQ2Ap0LlQudGVzdF9j3SSR"
    b"g7MrAhtrAiOq8JndMAp0LlQudGVzdF9kSOPnh7MrYEB+awIjqvCacaAKdC5ULnRlc3RfZDN0ZXh0L3gtdHJhY2Vi"
    b"YWNrOyBjaGFyc2V0PSJ1dGY4IjsgbGFuZ3VhZ2U9InB5dGhvbiIJdHJhY2ViYWNrI1RyYWNlYmFjayAobW9zdCBy"
    b"ZWNlbnQgY2FsbCBsYXN0KToK1mfSNrMrYEDYawIjqvCacaAKdC5ULnRlc3RfZDN0ZXh0L3gtdHJhY2ViYWNrOyBj"
    b"aGFyc2V0PSJ1dGY4IjsgbGFuZ3VhZ2U9InB5dGhvbiIJdHJhY2ViYWNrQHwgIEZpbGUgIi90bXAvcmVzdWx0cy10"
    b"cnkvdC5weSIsIGxpbmUgOCwgaW4gdGVzdF9kCiAgICBkZWYgdGVzdF9kKHNlbGYpOiBzZWxmLmZhaWwoIngiKQog"
    b"ICAgICAgICAgICAgICAgICAgICAgXl5eXl5eXl5eXl5eXl4K9fhAy7MrYEDaawIjqvCacaAKdC5ULnRlc3RfZDN0"
    b"ZXh0L3gtdHJhY2ViYWNrOyBjaGFyc2V0PSJ1dGY4IjsgbGFuZ3VhZ2U9InB5dGhvbiIJdHJhY2ViYWNrQH4gIEZp"
    b"bGUgIi9yb290Ly5weWVudi92ZXJzaW9ucy8zLjExLjcvbGliL3B5dGhvbjMuMTEvdW5pdHRlc3QvY2FzZS5weSIs"
    b"IGxpbmUgNzAzLCBpbiBmYWlsCiAgICByYWlzZSBzZWxmLmZhaWx1cmVFeGNlcHRpb24obXNnKQqp8NsPsytwQG1r"
    b"AiOq8JpxoAp0LlQudGVzdF9kM3RleHQveC10cmFjZWJhY2s7IGNoYXJzZXQ9InV0ZjgiOyBsYW5ndWFnZT0icHl0"
    b"aG9uIgl0cmFjZWJhY2sSQXNzZXJ0aW9uRXJyb3I6IHgKdVP2HLMrBxtrAiOq8JpxoAp0LlQudGVzdF9kXNAQfLMr"
    b"AhtrAiOq8KBVcAp0LlQudGVzdF9l8G4tb7MrBBtrAiOq8KC+6Ap0LlQudGVzdF9lJdCcoQ=="
)
"""`python -m subunit.run` of five tests: passed, failed, skipped, expected and unexpected."""


def packet(flags: int, *fields: bytes) -> bytes:
    """A short packet of these fields."""
    body = b"".join(fields)
    data = b"\xb3" + struct.pack(">HB", 0x2000 | flags, len(body) + 8) + body
    return data + struct.pack(">I", zlib.crc32(data))


def test_what_python_writes() -> None:
    found, notices = reading.read(RECORDED)
    assert notices == []
    assert {each.id: each.outcome for each in found} == {
        "t.T::test_a": Outcome.PASSED,
        "t.T::test_b": Outcome.FAILED,
        "t.T::test_c": Outcome.SKIPPED,
        "t.T::test_d": Outcome.SKIPPED,
        "t.T::test_e": Outcome.FAILED,
    }
    bad = found[0]
    assert (bad.message, bad.line) == ("AssertionError: 1 != 2", 4)
    skipped = next(each for each in found if each.name == "test_c")
    assert skipped.message == "nope"


def test_what_is_between_packets_is_passed_over() -> None:
    assert len(reading.read(b"noise\n" + RECORDED + b"more noise\n")[0]) == 5


def test_times_are_taken_from_the_packets() -> None:
    def at(second: int) -> bytes:
        return struct.pack(">I", second) + b"\0"

    begun = packet(0x200 | 0x800 | 2, at(10), b"\x01a")
    ended = packet(0x200 | 0x800 | 3, at(13), b"\x01a")
    [only] = reading.read(begun + ended)[0]
    assert only.seconds == 3.0


def test_a_test_that_did_not_end_is_an_error() -> None:
    assert reading.lines(packet(0x800 | 2, b"\x01a")) == ["error a it began and did not end"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (RECORDED[:-1], "it ends in the middle of a packet"),
        (RECORDED[:8] + b"\0" + RECORDED[9:], "the checksum of a packet is wrong"),
        (RECORDED + b"\xb3\x10\x00\x10" + b"\0" * 20, "not of version 2"),
        (RECORDED + b"\xb3\x20\x00\x01" + b"\0" * 20, "impossible length"),
        (packet(0x800, b"\x3fa"), "shorter than it says"),
        (packet(0x80, b"\x3f"), "shorter than it says"),
        (packet(0x200, b"\0"), "shorter than it says"),
    ],
)
def test_broken_packets_are_told(data: bytes, said: str) -> None:
    _, [notice] = reading.read(data)
    assert said in notice
