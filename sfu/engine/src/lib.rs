//! Threads, sockets, clocks and queues that drive Shards.
