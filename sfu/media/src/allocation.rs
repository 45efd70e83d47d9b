//! What of a client's videos fits into its bandwidth: a picture of everybody first, then better pictures, the smallest step
//! first. What doesn't fit even in its smallest layer pauses. Pure: who asks measures and applies.

use std::{cmp::Reverse, collections::BinaryHeap};

use plenum_types::LayerTarget;
use smallvec::SmallVec;

/// More than is sent now must have fitted so many times in a row, so that a rate that swings about a bound doesn't switch
/// layers to and fro.
const PATIENCE: u8 = 3;
/// What would be more is reckoned with this many parts of itself on top, for the same reason.
const MARGIN: u64 = 10;

/// What the client's bandwidth takes of a subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Afforded {
    /// Nobody limits it.
    #[default]
    All,
    /// This spatial layer at most.
    UpTo(u8),
    /// Not even the smallest layer.
    Nothing,
}

impl Afforded {
    /// What is to be sent of what is wanted.
    pub(crate) fn limit(self, target: LayerTarget) -> LayerTarget {
        match self {
            Self::All => target,
            Self::UpTo(spatial) => LayerTarget {
                spatial: target.spatial.min(spatial),
                ..target
            },
            Self::Nothing => LayerTarget {
                paused: true,
                ..target
            },
        }
    }
}

/// One video.
#[derive(Debug, Clone, Default)]
pub(crate) struct Share {
    /// Bits a second of each layer that may be sent, smallest first. Empty: nothing comes, nothing is decided.
    pub(crate) rates: SmallVec<[u64; 3]>,
    /// Place in `rates` of the best layer that fitted before, and fits from now on. `None`: paused.
    pub(crate) fits: Option<usize>,
    /// How many times in a row more would have fitted.
    pub(crate) waited: u8,
}

/// Shares `bits` a second out. Who comes first gets the first picture. `may_pause`: else the smallest layers are always sent.
pub(crate) fn allocate(
    bits: u64,
    may_pause: bool,
    shares: &mut [Share],
    steps: &mut BinaryHeap<Reverse<(u64, usize, usize)>>,
) {
    let mut left = bits;
    let mut fits: SmallVec<[Option<usize>; 32]> = SmallVec::from_elem(None, shares.len());
    steps.clear();
    for (place, (share, fits)) in shares.iter().zip(&mut fits).enumerate() {
        let Some(&smallest) = share.rates.first() else {
            continue;
        };
        if !may_pause || share.cost(0, smallest) <= left {
            *fits = Some(0);
            left = left.saturating_sub(smallest);
            share.offer_step(place, 1, steps);
        }
    }
    // The cheapest step that there is doesn't fit: no other does.
    while let Some(Reverse((cost, place, layer))) = steps.pop()
        && cost <= left
    {
        let (Some(share), Some(fits)) = (shares.get(place), fits.get_mut(place)) else {
            continue;
        };
        *fits = Some(layer);
        left = left.saturating_sub(share.step(layer));
        share.offer_step(place, layer + 1, steps);
    }
    for (share, fits) in shares.iter_mut().zip(fits) {
        share.settle(fits);
    }
}

impl Share {
    /// What a layer takes beyond the one below it.
    fn step(&self, layer: usize) -> u64 {
        let rate = |layer: usize| self.rates.get(layer).copied().unwrap_or_default();
        rate(layer).saturating_sub(rate(layer - 1))
    }

    /// What must be left for a layer to be sent.
    fn cost(&self, layer: usize, more: u64) -> u64 {
        if self.fits < Some(layer) {
            more + more / MARGIN
        } else {
            more
        }
    }

    fn offer_step(
        &self,
        place: usize,
        layer: usize,
        steps: &mut BinaryHeap<Reverse<(u64, usize, usize)>>,
    ) {
        if layer < self.rates.len() {
            steps.push(Reverse((self.cost(layer, self.step(layer)), place, layer)));
        }
    }

    /// Down at once, up with patience.
    fn settle(&mut self, fits: Option<usize>) {
        if self.rates.is_empty() {
            return;
        }
        if fits > self.fits {
            self.waited += 1;
            if self.waited < PATIENCE {
                return;
            }
        }
        self.fits = fits;
        self.waited = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMERA: [u64; 3] = [150_000, 500_000, 1_700_000];

    fn sent(rates: &[u64], fits: Option<usize>) -> Share {
        Share {
            rates: rates.into(),
            fits,
            waited: 0,
        }
    }

    fn cameras(count: usize, fits: Option<usize>) -> Vec<Share> {
        vec![sent(&CAMERA, fits); count]
    }

    fn after(bits: u64, shares: &mut [Share]) -> Vec<Option<usize>> {
        allocate(bits, true, shares, &mut BinaryHeap::new());
        shares.iter().map(|share| share.fits).collect()
    }

    fn rate(shares: &[Share]) -> u64 {
        shares
            .iter()
            .filter_map(|share| share.rates.get(share.fits?))
            .sum()
    }

    #[test]
    fn everybody_has_a_picture_before_anybody_has_a_better_one() {
        let mut shares = cameras(3, Some(2));
        assert_eq!(after(1_000_000, &mut shares), [Some(1), Some(0), Some(0)]);
        assert!(rate(&shares) <= 1_000_000);
    }

    #[test]
    fn what_fits_nowhere_pauses_and_who_comes_last_pauses_first() {
        let mut shares = cameras(3, Some(2));
        assert_eq!(after(310_000, &mut shares), [Some(0), Some(0), None]);
        assert_eq!(after(0, &mut shares), [None, None, None]);
    }

    #[test]
    fn who_must_not_be_paused_keeps_the_smallest_pictures() {
        let mut shares = cameras(2, Some(2));
        allocate(1, false, &mut shares, &mut BinaryHeap::new());
        assert_eq!((shares[0].fits, shares[1].fits), (Some(0), Some(0)));
    }

    #[test]
    fn a_better_picture_comes_when_it_has_fitted_for_a_while() {
        let mut shares = cameras(1, Some(0));
        for _ in 1..PATIENCE {
            assert_eq!(after(600_000, &mut shares), [Some(0)]);
        }
        assert_eq!(after(600_000, &mut shares), [Some(1)]);
    }

    #[test]
    fn a_worse_one_comes_at_once() {
        assert_eq!(after(600_000, &mut cameras(1, Some(2))), [Some(1)]);
    }

    #[test]
    fn a_rate_that_swings_about_the_bound_switches_once() {
        let mut shares = cameras(1, Some(1));
        let mut switches = 0;
        for look in 0..40 {
            shares[0].rates[1] = if look % 2 == 0 { 510_000 } else { 490_000 };
            let before = shares[0].fits;
            after(500_000, &mut shares);
            switches += usize::from(shares[0].fits != before);
        }
        assert_eq!(switches, 1);
    }

    #[test]
    fn nothing_is_decided_for_what_sends_nothing() {
        let mut shares = [sent(&[], Some(1)), sent(&CAMERA, Some(2))];
        assert_eq!(after(200_000, &mut shares), [Some(1), Some(0)]);
    }

    proptest::proptest! {
        #[test]
        fn never_more_than_there_is(
            bits in 0_u64..5_000_000,
            streams in proptest::collection::vec(
                (proptest::collection::vec(1_u64..2_000_000, 0..4), proptest::option::of(0_usize..3)),
                0..20,
            ),
        ) {
            let mut shares: Vec<Share> = streams
                .into_iter()
                .map(|(mut rates, fits)| {
                    rates.sort_unstable();
                    sent(&rates, fits.filter(|fits| *fits < rates.len()))
                })
                .collect();
            after(bits, &mut shares);
            let known = shares.iter().filter(|share| !share.rates.is_empty()).cloned();
            proptest::prop_assert!(rate(&known.collect::<Vec<_>>()) <= bits);
        }
    }
}
