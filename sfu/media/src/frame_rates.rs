//! How many frames a second a layer has up to each of its temporal layers: what a subscriber's wish is held against.
//!
//! Cameras differ: three temporal layers of 30 frames a second are 7.5, 15 and 30, those of 15 are half of that.

/// Frames of one measurement: whole rounds of the patterns that encoders use, which are 1, 2, 4 or 8 frames long.
const FRAMES: u32 = 16;
/// After a pause of so many seconds a measurement begins anew: frames before and after it make no rate.
const PAUSE_SECONDS: u32 = 2;
/// The descriptor of VP9 has three bits for the temporal layer, that of VP8 two.
const LAYERS: usize = 8;
/// Share of a wanted frame rate that suffices, as in the reference: rates are never exact.
const ENOUGH: f32 = 0.9;
/// A rate that differs from the one in use by less is no news, lest subscriptions go up and down with it.
const NEWS: f32 = 0.2;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FrameRates {
    /// Timestamps of the frame before the measurement's first, and of the last one.
    since: Option<(u32, u32)>,
    frames: u32,
    counted: [u8; LAYERS],
    /// In use: frames a second up to each temporal layer; 0 where there is none.
    rates: [f32; LAYERS],
}

impl FrameRates {
    /// A packet of a frame. Late ones don't count.
    pub(crate) fn observe(&mut self, timestamp: u32, temporal: u8, clock_rate: u32) {
        let Some((first, last)) = self.since else {
            return self.begin(timestamp);
        };
        let step = timestamp.wrapping_sub(last);
        if step == 0 || step.cast_signed() < 0 {
            return;
        }
        if step > clock_rate.saturating_mul(PAUSE_SECONDS) {
            return self.begin(timestamp);
        }
        self.since = Some((first, timestamp));
        self.frames += 1;
        if let Some(counted) = self.counted.get_mut(usize::from(temporal)) {
            *counted += 1;
        }
        if self.frames == FRAMES {
            self.settle(timestamp.wrapping_sub(first), clock_rate);
            self.begin(timestamp);
        }
    }

    const fn begin(&mut self, timestamp: u32) {
        self.since = Some((timestamp, timestamp));
        self.frames = 0;
        self.counted = [0; LAYERS];
    }

    fn settle(&mut self, ticks: u32, clock_rate: u32) {
        let seconds = ticks as f32 / clock_rate.max(1) as f32;
        let mut measured = [0.0; LAYERS];
        let mut sum = 0_u8;
        for (rate, counted) in measured.iter_mut().zip(self.counted) {
            sum += counted;
            // A layer without frames of its own is not there.
            if counted > 0 {
                *rate = f32::from(sum) / seconds;
            }
        }
        let is_news = measured
            .iter()
            .zip(self.rates)
            .any(|(new, old)| (new - old).abs() > NEWS * old.max(*new));
        if is_news {
            self.rates = measured;
        }
    }

    /// The highest temporal layer that is needed for so many frames a second; 255 where they are not measured, are fewer, or
    /// all are wanted.
    pub(crate) fn temporal_for(&self, fps: u16) -> u8 {
        if fps == 0 {
            return u8::MAX;
        }
        let wanted = f32::from(fps) * ENOUGH;
        self.rates
            .iter()
            .position(|rate| *rate >= wanted)
            .map_or(u8::MAX, |temporal| temporal as u8)
    }

    /// Frames a second up to each temporal layer that is there.
    pub(crate) fn shown(&self) -> Vec<f32> {
        self.rates
            .iter()
            .copied()
            .filter(|rate| *rate > 0.0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: u32 = 90_000;
    /// Three temporal layers of Chromium.
    const PATTERN: [u8; 4] = [0, 2, 1, 2];

    /// So many frames at a frame rate, beginning near the end of the timestamps' range.
    fn camera(rates: &mut FrameRates, start: &mut u32, fps: u32, frames: usize) {
        for frame in 0..frames {
            *start = start.wrapping_add(CLOCK / fps);
            for _packet in 0..2 {
                rates.observe(*start, PATTERN[frame % 4], CLOCK);
            }
        }
    }

    #[test]
    fn a_wish_takes_the_lowest_layer_that_has_as_many_frames() {
        let (mut rates, mut at) = (FrameRates::default(), u32::MAX - 10_000);
        assert_eq!(rates.temporal_for(5), u8::MAX);
        camera(&mut rates, &mut at, 15, 17);
        let shown = rates.shown();
        assert_eq!(shown.len(), 3);
        for (shown, expected) in shown.iter().zip([3.75, 7.5, 15.0]) {
            assert!((shown - expected).abs() < 0.01, "{shown} {expected}");
        }
        let layers = [0, 1, 3, 4, 7, 8, 9, 15, 16, 17].map(|fps| rates.temporal_for(fps));
        assert_eq!(layers, [255, 0, 0, 0, 1, 1, 2, 2, 2, 255]);
    }

    #[test]
    fn another_frame_rate_is_measured_anew_and_a_jitter_is_not() {
        let (mut rates, mut at) = (FrameRates::default(), 0);
        camera(&mut rates, &mut at, 30, 17);
        assert_eq!(rates.temporal_for(14), 1);
        camera(&mut rates, &mut at, 27, 32);
        assert_eq!(rates.temporal_for(16), 1, "{:?}", rates.shown());
        camera(&mut rates, &mut at, 15, 32);
        assert_eq!(rates.temporal_for(14), 2);
    }

    #[test]
    fn late_packets_and_pauses_make_no_rate() {
        let (mut rates, mut at) = (FrameRates::default(), 0);
        camera(&mut rates, &mut at, 15, 10);
        rates.observe(at - 20_000, 2, CLOCK);
        at += 60 * CLOCK;
        camera(&mut rates, &mut at, 15, 15);
        assert!(rates.shown().is_empty());
        camera(&mut rates, &mut at, 15, 4);
        assert!((rates.shown()[2] - 15.0).abs() < 0.01);
    }

    #[test]
    fn a_stream_without_temporal_layers_has_one() {
        let (mut rates, mut at) = (FrameRates::default(), 0_u32);
        for _ in 0..20 {
            at += CLOCK / 30;
            rates.observe(at, 0, CLOCK);
        }
        assert_eq!(rates.shown().len(), 1);
        assert_eq!(rates.temporal_for(5), 0);
    }
}
