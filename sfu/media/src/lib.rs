//! The Shard: tracks, layers, subscriptions, feedback, data routing, speakers.
