//! One axis of time from stamps that leave years or days unsaid.

use super::stamp::{DAY, NO_YEAR, Scale, Stamp, day_of_month, new_year};

/// Further back than this, a stamp without a year is of the next year, or one without a day of the next day.
const HALF_YEAR: i64 = 180 * DAY;
const HALF_DAY: i64 = DAY / 2;
/// The same of days of a month.
const HALF_MONTH: i64 = 15;

/// Places stamps on one axis, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    year: i64,
    day: i64,
    yearless: Option<i64>,
    /// The last day of a month that is not known: its midnight, and which of the month it is.
    monthless: Option<(i64, i64)>,
    timed: Option<i64>,
}

impl Clock {
    /// `year` is that of the first stamp without one.
    pub(super) fn new(year: Option<i64>) -> Self {
        Self { year: year.unwrap_or(NO_YEAR), day: 0, yearless: None, monthless: None, timed: None }
    }

    pub(super) fn place(&mut self, stamp: &Stamp<'_>) -> i64 {
        match stamp.scale {
            Scale::Zoned(_) | Scale::Local | Scale::Uptime => stamp.micros,
            Scale::Yearless => {
                self.monthless = None;
                // Counted in a leap year: after February a common one has a day less.
                let at = |year: i64| {
                    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
                    let late = stamp.micros >= 60 * DAY && !leap;
                    new_year(year) + stamp.micros - if late { DAY } else { 0 }
                };
                let mut found = at(self.year);
                if let Some(last) = self.yearless {
                    if found < last - HALF_YEAR {
                        self.year = (self.year + 1).min(9000);
                        found = at(self.year);
                    } else if found > last + HALF_YEAR {
                        // A line of December among those of January.
                        return at(self.year - 1);
                    }
                }
                self.yearless = Some(found);
                found
            }
            Scale::Monthless => {
                let (day, clock) = (stamp.micros / DAY, stamp.micros % DAY);
                let before = self.monthless.or_else(|| {
                    let last = self.yearless?;
                    Some((last - last.rem_euclid(DAY), day_of_month(last)))
                });
                let (midnight, known) = before.unwrap_or((new_year(self.year), 1));
                // Months follow each other: the first day of one comes right after the last that was seen.
                let ahead = if day < known - HALF_MONTH { day } else { day - known };
                if known == 1 && ahead > 2 * HALF_MONTH - 3 && before.is_some() {
                    // A line of the last day among those of the first.
                    return midnight - DAY + clock;
                }
                let midnight = midnight + ahead * DAY;
                self.monthless = Some((midnight, day));
                self.yearless = Some(midnight + clock);
                midnight + clock
            }
            Scale::Clock => {
                let mut found = self.day.saturating_mul(DAY) + stamp.micros;
                if let Some(last) = self.timed {
                    if found < last - HALF_DAY {
                        self.day = (self.day + 1).min(1_000_000);
                        found += DAY;
                    } else if found > last + HALF_DAY {
                        return found - DAY;
                    }
                }
                self.timed = Some(found);
                found
            }
        }
    }
}
