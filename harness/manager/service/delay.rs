//! How long a restart waits.

use crate::time::Span;
use crate::unit::Service;

/// How long the manager waits before the restart with this number, counted from 1 (`restart_steps.json`).
///
/// With RestartSteps= and RestartMaxDelaySec= the delay grows geometrically from RestartSec= to the maximum.
pub fn restart_delay(config: &Service, number: u32) -> Span {
    let (first, most, steps) = (config.restart_sec, config.restart_max_delay_sec, config.restart_steps);
    if number <= 1 || steps == 0 || first.is_zero() || most.is_infinite() || first >= most {
        return first;
    }
    if number > steps {
        return most;
    }
    Span::from_micros(geometric(first.as_micros(), most.as_micros(), number - 1, steps))
}

/// `floor(first * (most / first)^(step / steps))`, which is the largest `x` with
/// `x^steps <= first^(steps - step) * most^step`: exact, in whole numbers.
fn geometric(first: u64, most: u64, step: u32, steps: u32) -> u64 {
    // Powers grow with the steps; nobody can tell 64 of them from more.
    let (step, steps) = if steps > 64 { ((u64::from(step) * 64 / u64::from(steps)) as u32, 64) } else { (step, steps) };
    let bound = Natural::power(first, steps - step).times(&Natural::power(most, step));
    let (mut low, mut high) = (first, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if Natural::power(middle, steps).at_most(&bound) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// A natural number of any size: digits to the base 2^32, the least significant first, without leading zeros.
struct Natural(Vec<u32>);

impl Natural {
    fn power(base: u64, exponent: u32) -> Self {
        let base = Natural(vec![(base & 0xffff_ffff) as u32, (base >> 32) as u32]);
        (0..exponent).fold(Natural(vec![1]), |power, _| power.times(&base))
    }

    fn times(&self, other: &Natural) -> Self {
        let mut digits = vec![0u32; self.0.len() + other.0.len()];
        for (i, &a) in self.0.iter().enumerate() {
            let mut carry = 0u64;
            for (j, &b) in other.0.iter().enumerate() {
                let sum = u64::from(digits[i + j]) + u64::from(a) * u64::from(b) + carry;
                digits[i + j] = (sum & 0xffff_ffff) as u32;
                carry = sum >> 32;
            }
            digits[i + other.0.len()] = carry as u32;
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        Natural(digits)
    }

    fn at_most(&self, other: &Natural) -> bool {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_le()
    }
}
