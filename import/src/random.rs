//! Random ids of chunks and imports.

use increments::imports::NO_CHUNK;

/// The number of bits of an id: those of a whole number that JavaScript holds exactly.
const ID_BITS: u32 = 53;

/// Returns a random number above 0.
pub(crate) fn id() -> i64 {
    // Without randomness two runs could choose the same ids; the operating system's never fails after boot.
    let random = getrandom::u64().unwrap_or_default() >> (u64::BITS - ID_BITS);
    i64::try_from(random).unwrap_or_default().max(NO_CHUNK + 1)
}
