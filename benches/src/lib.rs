//! Inputs that the benches share: the same every time.

pub mod object;

/// Numbers that look random and are the same in every run (xorshift, Marsaglia 2003).
#[derive(Debug)]
pub struct Sequence(u32);

impl Sequence {
    /// From the start.
    pub fn new() -> Self {
        Self(0x9e37_79b9)
    }

    /// The next number.
    #[allow(
        clippy::should_implement_trait,
        reason = "it never ends, so no Option is needed"
    )]
    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

impl Default for Sequence {
    fn default() -> Self {
        Self::new()
    }
}
