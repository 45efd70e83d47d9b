//! Randomness that strangers can't guess: ICE passwords come from it.

use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

/// A generator seeded by the system. A system without randomness can't run a room safely: the process ends.
#[must_use]
pub fn secure_rng() -> ChaCha12Rng {
    let mut seed = [0; 32];
    if let Err(error) = getrandom::fill(&mut seed) {
        tracing::error!(%error, "the system gives no random bytes");
        std::process::abort();
    }
    ChaCha12Rng::from_seed(seed)
}
