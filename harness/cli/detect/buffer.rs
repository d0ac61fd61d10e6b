//! Where input is read to.

use std::ops::{Deref, DerefMut};

/// Bytes that begin with a line of the processor's cache: the kernel takes half as long again to copy what it reads to where
/// an allocator puts large blocks, 16 bytes behind the beginning of a page.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    begin: usize,
}

/// As long as a line of the cache is.
const LINE: usize = 64;

impl Buffer {
    /// So many zeros.
    pub(super) fn new(length: usize) -> Self {
        let mut bytes = vec![0; length + LINE];
        // It is never more than a line.
        let begin = bytes.as_ptr().align_offset(LINE).min(LINE);
        bytes.truncate(begin + length);
        Self { bytes, begin }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.begin..]
    }
}
