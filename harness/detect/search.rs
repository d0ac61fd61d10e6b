//! Several words looked for at once.

use memchr::memmem::Finder;

/// Looks for several words in one pass.
///
/// Whoever looks at every sixteenth place sees something of each word that is long enough, whatever it begins with: the bytes
/// there are looked up in a table of those that the words have. That is less work than one search after another, and it
/// does not depend on how often the bytes of the words occur elsewhere.
#[derive(Clone, Debug)]
pub struct Search {
    words: Vec<Box<[u8]>>,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    /// At every so many bytes.
    Sampled(usize, Table),
    /// A word is too short for that, or there are too many.
    OneByOne(Vec<Finder<'static>>),
}

/// So much is looked at in one go, at one place or more.
const BLOCK: usize = 64;
/// So much is read at a place.
const READ: usize = size_of::<u64>();
/// What is looked at in one go, and what the last place of it needs.
type Block = [u8; BLOCK + READ];
/// The table has two to the power of so many entries: it leaves most of a first cache to what is searched.
const BITS: u32 = 12;

/// Which bytes the words have.
#[derive(Clone, Debug)]
struct Table {
    /// By the bytes' hash, the number of the first that have it, counted from 1.
    first: Box<[u8; 1 << BITS]>,
    grams: Vec<Gram>,
}

/// Some bytes of a word.
#[derive(Clone, Copy, Debug)]
struct Gram {
    bytes: u64,
    word: usize,
    /// Their place in it.
    at: usize,
    /// The number of the next that have the same hash.
    next: u8,
}

impl Search {
    /// A search for words, none of which is empty.
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let words: Vec<Box<[u8]>> = words.into_iter().map(|word| word.as_ref().into()).collect();
        let shortest = words.iter().map(|word| word.len()).min().unwrap_or_default();
        // Wherever a word begins, the bytes at one of the places are all its own.
        let fits = |step: &usize| shortest >= step + gram(*step) - 1 && words.len() * step <= usize::from(u8::MAX);
        let step = [16, 8, 4].into_iter().find(fits);
        let how = match step {
            Some(step) => How::Sampled(step, Table::new(&words, step)),
            None => How::OneByOne(words.iter().map(|word| Finder::new(word).into_owned()).collect()),
        };
        Self { words, how }
    }

    /// Tells the places where words are, and which ones, in no order. Of a short word that overlaps itself, only the first.
    pub fn each(&self, bytes: &[u8], mut tell: impl FnMut(usize, usize)) {
        match &self.how {
            How::Sampled(16, table) => self.sample::<16>(table, bytes, &mut tell),
            How::Sampled(8, table) => self.sample::<8>(table, bytes, &mut tell),
            How::Sampled(_, table) => self.sample::<4>(table, bytes, &mut tell),
            How::OneByOne(finders) => {
                for (word, finder) in finders.iter().enumerate() {
                    finder.find_iter(bytes).for_each(|at| tell(at, word));
                }
            }
        }
    }

    /// The places where a word is, in order.
    pub fn places(&self, bytes: &[u8]) -> Vec<usize> {
        let mut places = Vec::new();
        self.each(bytes, |at, _| places.push(at));
        places.sort_unstable();
        places
    }

    fn sample<const STEP: usize>(&self, table: &Table, bytes: &[u8], tell: &mut impl FnMut(usize, usize)) {
        let mut at = 0;
        while let Some(block) = bytes[at..].first_chunk() {
            if table.sees::<STEP>(block) {
                self.compare::<STEP>(table, block, bytes, at, tell);
            }
            at += BLOCK;
        }
        // What is left, and nothing behind it.
        let rest = &bytes[at..];
        let mut last = [0; 2 * BLOCK + READ];
        last[..rest.len()].copy_from_slice(rest);
        for begin in (0..rest.len()).step_by(BLOCK) {
            if let Some(block) = last[begin..].first_chunk().filter(|block| table.sees::<STEP>(block)) {
                self.compare::<STEP>(table, block, bytes, at + begin, tell);
            }
        }
    }

    /// Which words have what was seen in a block, and are there.
    #[cold]
    fn compare<const STEP: usize>(
        &self,
        table: &Table,
        block: &Block,
        bytes: &[u8],
        at: usize,
        tell: &mut impl FnMut(usize, usize),
    ) {
        for near in (0..BLOCK).step_by(STEP) {
            let found = read::<STEP>(block, near);
            let mut number = table.first(found);
            while let Some(gram) = usize::from(number).checked_sub(1).map(|index| &table.grams[index]) {
                let begin = (at + near).checked_sub(gram.at).filter(|_| gram.bytes == found);
                if let Some(begin) = begin
                    && bytes.get(begin..).is_some_and(|rest| rest.starts_with(&self.words[gram.word]))
                {
                    tell(begin, gram.word);
                }
                number = gram.next;
            }
        }
    }
}

/// So many bytes are compared at a place: with fewer, other words would often have the same.
const fn gram(step: usize) -> usize {
    if step >= 8 { 6 } else { 4 }
}

/// The bytes at a place, with nothing below them.
fn read<const STEP: usize>(block: &Block, at: usize) -> u64 {
    let mut bytes = [0; READ];
    bytes.copy_from_slice(&block[at..at + READ]);
    u64::from_le_bytes(bytes) << (8 * (READ - gram(STEP)))
}

fn hash(bytes: u64) -> usize {
    // Two to the power of 64, by the golden ratio.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    (bytes.wrapping_mul(SPREAD) >> (u64::BITS - BITS)) as usize
}

impl Table {
    fn new(words: &[Box<[u8]>], step: usize) -> Self {
        let (mut first, mut grams) = (Box::new([0; 1 << BITS]), Vec::new());
        for (word, bytes) in words.iter().enumerate() {
            for (at, window) in bytes.windows(gram(step)).take(step).enumerate() {
                let mut bytes = [0; READ];
                bytes[READ - window.len()..].copy_from_slice(window);
                let bytes = u64::from_le_bytes(bytes);
                let number = u8::try_from(grams.len() + 1).unwrap_or(0);
                let next = std::mem::replace(&mut first[hash(bytes)], number);
                grams.push(Gram { bytes, word, at, next });
            }
        }
        Self { first, grams }
    }

    /// Whether there may be a word at one of the places.
    #[inline(always)]
    fn sees<const STEP: usize>(&self, block: &Block) -> bool {
        (0..BLOCK / STEP).fold(0, |seen, n| seen | self.first(read::<STEP>(block, n * STEP))) != 0
    }

    /// The number of the first gram that has the hash of these bytes, or 0.
    fn first(&self, bytes: u64) -> u8 {
        self.first[hash(bytes)]
    }
}
