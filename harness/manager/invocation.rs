//! The IDs of runs: random ones in systemd, but the same ones in every replay of an incident here.

use std::fmt;
use std::ops::Deref;

/// What names one run of a unit (systemd.exec(5), `$INVOCATION_ID`): 32 hex digits.
///
/// It is kept as the digits: every line of the journal and every environment has them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InvocationId([u8; 32]);

impl InvocationId {
    /// The ID that comes as the `count`th one with this seed.
    pub(super) fn nth(seed: u64, count: u64) -> Self {
        let mut state = seed ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut word = || {
            // splitmix64: a bijection of the counter, so that IDs of one run never repeat.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        // The version and variant bits of a random UUID, which sd_id128_randomize(3) sets.
        let high = word() & 0xffff_ffff_ffff_0fff | 0x4000;
        let low = word() & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000;
        let mut digits = [0; 32];
        for (place, half) in digits.chunks_exact_mut(8).zip([high >> 32, high, low >> 32, low]) {
            place.copy_from_slice(&hex_digits(half as u32));
        }
        Self(digits)
    }
}

impl Deref for InvocationId {
    type Target = str;

    fn deref(&self) -> &str {
        // Only ever filled with digits.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

/// The hex digits of a number, all eight at once: one a byte of a word.
const fn hex_digits(number: u32) -> [u8; 8] {
    let mut word = number as u64;
    word = (word << 16 | word) & 0x0000_ffff_0000_ffff;
    word = (word << 8 | word) & 0x00ff_00ff_00ff_00ff;
    word = (word << 4 | word) & 0x0f0f_0f0f_0f0f_0f0f;
    // Adding six carries into the fifth bit from ten on, where the letters are.
    let letters = (word + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (word + 0x3030_3030_3030_3030 + letters * (b'a' - b'0' - 10) as u64).to_be_bytes()
}
