"""The first 256 numbers of Go's ``math/rand`` with seed 1: what Pachyderm's rolling hash makes of each byte.

Source: ``buzhash64`` of the Go module chmduquesne/rollinghash, which Pachyderm 2.12's chunker uses with seed 1.
"""

from __future__ import annotations

from base64 import b64decode

BYTE_HASHES = b64decode(
    "TWWCIQf8/VJ4YpoPXz8WT1UQTcdmlXIdOAcEu3tNfAM2WoWBScbi0Vfp0YYNHWjYCGbLOXkWAB4UCNKsIsTSlAxpf0g5KQegJoRHpBid65lB8nzG"
    "84ddBGglWq+V6UYnG2z/orpReTYwuV/xg8Rx1Ci2IVh8s60LPASVGqQmVdkkOnaLfE4LaCWEXJXUSR0bVuw/JSVjIYYb+YviqdeNcxoCBw8WnBEh"
    "LjEI2rsVhkRJC9Joto5qP25mHpJ1mAX1JYTEfyzfW4omBs0rV9KSRWBUUC/F1tJoGnFM+GuD0OJuw0w2dnTLdFkuF/ewaNnbQwyLNbuUV9gDn294"
    "oV1SOxREGdt5Qgn/Tbp7D52h1+t81LelWiXgyworiUz4QOxLTCKwKTbU/5sHkUP39KXuO1iUQv1a0UX0JphLkvZ0AwQWLZaNP3H4y0VCwpKRAY18"
    "RabjyvzK4iQjpiNDsYa1HzYp2fF9no+8Q+o7k5P5PzMgdAPe9jpbbyQbOuQZR2w2ZPEBf7yJfQYuT6RZFphz9XC1oxVyTHrxJgfGSVge6zlyenH1"
    "Ile7fQx5ZJdvJpoofQucqL6OmYEJgl4RcDk3Sxxz+sglQW/tVy2S+t7X5BEe6fdnZnjnqiff96skT802d2eDA1aqa4Ze9Oge3kVhrWaI+L0+mbCo"
    "XXg5nL7YCjoXahVq5YNIsDbUZ6SvY+WNctCh6UBq7J1XYTCCwjPwB31Njp+l6tC9dgsNIgUBQ6YLoI5Lc4toKT8fRug2mcrzdqeA6pZ81xB6O6b2"
    "BvZlpiyJwWcl/T1/WG1oJg/W5Hla/wHJJvvym0gp7gcW3kw1UyJ4fCvzOUtGoDy0SvhkumC+0x8cuebGM6/TeUFDkIkQuS0BaaORRH40F53DTxgt"
    "crtTiUIWV/8pOgwr+fxlaFxOkemLAskXUoBHk2ycZLcK8lYDg9F5CVW0pLLqPUylT7WPvq9jXUcvUhhYf8eHaR5QM4K+FBhvRIQd8zU5seoX964k"
    "6RdFSB6SVQfAUeGKUGWFWAe3NlgQOXCjKewwDCQCoY2iUL80NIV1fqftXZc3qzZB/j3qeVADHSe4s1L3Rms228mzROlP0mn9jl8EdV1Vy0cZQeUq"
    "ak7veiaUdj0AENYya0DqvF43fvWEhdaLMzKq/jNurMo/uiRwQ5mjY01PJ4pnFJucNG5fKa4QqQEDzES/Wl/++wA+YwZWOybeAF0pKG8A8Ct1OaIB"
    "nwY5fUt/r8NUWDbER5or+THWQWtoXzJXEvQSjXBisHZ1LzP/Oq4+PkowVgVM0jnqDI3CFANcqA1yUhqQbEQ/r46z5KEf9fJig+/GxlIl/NYJDsBP"
    "H6z8XcFUCGQWOlrO7CyKqkvbGFtwq1O6aD4UpTjTtJRYz7Akh41AYwPhm/ejF64/RQTWNTy2Lwd84umO82BBLGAZAPtP+/OpJaH/tSLVVLRgZ5a4"
    "PxkEdhNSyjIHlqcQLYnIIPXDU89qfLXPBPWbtx2sm1gtIwF2UFziY+LWqc4/y2JsPx10Jwt/v7yv2RW7AzmOQLAapH0yNCPPzeLCaUtw56x0F784"
    "dv2Dmh4JT5pJOiPrVezg6ktWeDzLlFObNLSjyBPTRrVGuvRHVODAwT7s/bxtsw43ep473NwCs5BmCu3xpuIi9Q2+qg/i+MH+ZDp9cS4Wa98yVgx6"
    "Z1iKdBCxZqIhiY80GFL+YkwzDx1espx3Ga9TulO3oP9wZYuUDJfXChM8lnNCm9I6Tv7q3QzD8Q4PISVRE2+axwcPCRQJwJo+byQcVyhYvRDxPkG3"
    "FG9w/zvnDLARo5BA9Lb0fylLTo4g8xEnRQBkzmVRy4lJEaqHKJy9LEGi1SiJRvI9V5MM+ECnnDtTltJKA8bZgkMizuEDZXkMU78frwz1JRdbsfV7"
    "C7Ex6FF9jr89pUdcAaRHhhOe/MoD7WTpvNROtAyMRpSlSvdHLz8Nb7c8Mu1pyT+wn2xHrCyA1Y/ouo8iLBKDtlQEOmYgYkxYOwp/IBu1U5e0kmQx"
    "RwpPWuF8AtUzdw61jw0lWEDU5VIBT7/yFZdLnX+ANZQqakZwebdvvmn5jEAz/iZWWaMIdHksjugHaiCva0EpLX/kdUr9/5wyNK1ayIIJMpgOS1rA"
    "WUg4cGPvv/Wy1aETC8qCpC3ZbloG2OlvW45WqVt7Jwnr2d2pIBj6bgT5zpJsoADoy0QJUHyoKUemflKxGzUyekn20mECwZ53kkF/w3j8JFQcO2vZ"
    "C+ZyMLAnt+BSqqsDH3ZaQSfr3Y9EyatAOWdHwEXZkSE+XdsO/XqErwqOsayZt1eIVf5/A+Or/0ozOV6vqIqmf3M8N01zbkHMeZXF3Jy8vl4o39jT"
    "ezzOvD/r3SXht/qTM0FdvTFa5q8CiRcrnM7S4lKQojEZ6g8vNt9DMal3ByIrd+gGhKa/3HGX4TSI8D8HHj/6iqRKA6Rh68oIJ6a4hQSTm7i1gMi6"
    "XSFAZAGBU9pQG2oitkjmBEGs2fVRGAJ4CUX83Yk6MQ9cs4msco9fTHCewYQ39RmLfSdahzzA6ptseuN6450C22qFdkgTiDFCH7lejMpZk5J06kKv"
    "wS0VTgma0b3BdhY9auSubVyS4rhQjfDc+fle3mA5CQi4Ar38UOV9D4qShYUMaFcd3KbhCwHl3P2IeVPoSrsYyUi56WIIzQDE5TPpo3/Hb61eDObl"
    "UxibJR26d65+I7xvyCFLimra6kdTtCjXKoDQVkzyCmU="
)
"""256 big-endian words of 8 bytes."""
