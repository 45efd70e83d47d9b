//! SDP of one peer connection: mids, payload types, SSRCs, extension ids, answers and offers.
