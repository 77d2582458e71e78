"""Signatures, against the reference vector of the Standard Webhooks libraries."""

from destinations.webhook.signing import key_of, signature, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
MESSAGE = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')


def test_a_signature_is_the_one_of_the_reference_vector() -> None:
    key = key_of(SECRET)
    assert key is not None
    assert signature(key, *MESSAGE) == SIGNED


def test_while_secrets_are_rotated_each_of_them_signs() -> None:
    other = "whsec_" + "A" * 32
    headers = signed_headers((SECRET, other), *MESSAGE)
    first, second = headers["webhook-signature"].split(" ")
    assert first == SIGNED
    assert second != SIGNED
