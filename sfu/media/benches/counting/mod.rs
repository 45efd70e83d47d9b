//! Counts the allocations of chosen threads, Rust's and C's.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

/// Allocations of threads that are counted.
pub(crate) static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread is counted.
    pub(crate) static COUNTING: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if COUNTING.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory that it gave out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `alloc`'s contract, which is the same. Counted where it ends up: in `malloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System`, by this allocator's `alloc` or `realloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for `dealloc`; the caller keeps `realloc`'s contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut libc::c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut libc::c_void;
}

/// C's allocations, those of the crypto library among them, and Rust's, which end here too.
///
/// # Safety
/// As C's `malloc`.
// SAFETY: replaces glibc's symbol by one with the same contract, as its manual allows.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut libc::c_void {
    count();
    // SAFETY: the same contract, and glibc's own allocator, so that its `free` fits.
    unsafe { __libc_malloc(size) }
}

/// See [`malloc`].
///
/// # Safety
/// As C's `calloc`.
// SAFETY: as for `malloc`.
#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(items: usize, size: usize) -> *mut libc::c_void {
    count();
    // SAFETY: as in `malloc`.
    unsafe { __libc_calloc(items, size) }
}
