//! Memory and raw computation: protect, map, touch, ask for what is dirty, multiply.

use crate::measure;
use crate::report;
use linux_guest::call::{Call, Errno, Tick};
use linux_guest::calls::{self, File, For};
use linux_guest::matmul::{self, Matrix, N};
use linux_guest::region::{Frames, Protection, Region, Sharing};
use linux_raw_sys::general::{self as linux, page_region, pm_scan_arg};

/// Measures all of them.
pub fn measure() {
    protect(Region::place(1, 1), ["prot1", "unprot1"]);
    protect(Region::place(1, 100), ["prot100", "unprot100"]);
    // A neighbour, so that the page tables stay.
    let neighbour = Region::place(1, 1).mapped();
    let page = Region::place(1, 16).page(8);
    map(page, Frames::AtOnce, ["map", "unmap"]);
    map(page, Frames::Later, ["map_untouched", "unmap_untouched"]);
    neighbour.unmap().must();
    report::figure("page_fault", &page_fault());
    let page = Region::place(1, 1).mapped();
    match dirty(page) {
        Ok(dirty) => report::figure("dirty", &dirty),
        Err((call, errno)) => report::absent(
            "dirty",
            format_args!("{call}: error {}; arm64 Linux has what this needs since 6.10", errno.0),
        ),
    }
    page.unmap().must();
    report::figure("matmul", &multiply());
}

/// Takes a region's write permission away and gives it back; all its pages have been written to.
fn protect(region: Region, [protect, unprotect]: [&str; 2]) {
    region.mapped();
    let both = [region.protect(Protection::Read), region.protect(Protection::ReadWrite)];
    let [there, back] = measure::singly(100, || both.map(|call| call.timed().ticks()));
    report::figure(protect, &there);
    report::figure(unprotect, &back);
    region.unmap().must();
}

/// Maps and unmaps a page.
fn map(page: Region, frames: Frames, [map, unmap]: [&str; 2]) {
    let both = [page.map(Sharing::Private, frames), page.unmap()];
    let [there, back] = measure::singly(measure::many(10_000), || both.map(|call| call.timed().ticks()));
    report::figure(map, &there);
    report::figure(unmap, &back);
}

/// Touches fresh pages; for each.
fn page_fault() -> measure::Batches {
    const PAGES: usize = 256;
    let region = Region::place(1, PAGES);
    let mut next = PAGES;
    let [figure] = measure::singly(PAGES as u64, || {
        if next == PAGES {
            // Not refused where nothing is mapped.
            region.unmap().must();
            region.map(Sharing::Private, Frames::Later).must();
            region.only_small_pages().must();
            next = 0;
        }
        next += 1;
        let page = region.page(next - 1);
        let before = Tick::now();
        page.touch();
        [Tick::now().since(before)]
    });
    region.unmap().must();
    figure
}

/// The number of an `ioctl` that reads and writes a structure (Linux, `include/uapi/asm-generic/ioctl.h`).
const fn read_and_write<T>(group: u8, number: u32) -> usize {
    (3 << 30 | size_of::<T>() << 16) | (group as usize) << 8 | number as usize
}

const PAGEMAP_SCAN: usize = read_and_write::<pm_scan_arg>(b'f', 16);
const UFFDIO_API: usize = read_and_write::<linux::uffdio_api>(0xaa, linux::_UFFDIO_API);
const UFFDIO_REGISTER: usize = read_and_write::<linux::uffdio_register>(0xaa, linux::_UFFDIO_REGISTER);
const UFFDIO_WRITEPROTECT: usize =
    read_and_write::<linux::uffdio_writeprotect>(0xaa, linux::_UFFDIO_WRITEPROTECT);

/// The call that Linux has refused, and why.
type Refused = (&'static str, Errno);

/// Asks whether a page has been written to since it was last protected; it has.
fn dirty(page: Region) -> Result<measure::Batches, Refused> {
    track(page)?;
    let pages = calls::open(c"/proc/self/pagemap", For::Reading).map_err(|errno| ("open", errno))?;
    let mut found = page_region { start: 0, end: 0, categories: 0 };
    let mut question = pm_scan_arg {
        size: size_of::<pm_scan_arg>() as u64,
        flags: u64::from(linux::PM_SCAN_CHECK_WPASYNC),
        start: page.start() as u64,
        end: (page.start() + page.bytes()) as u64,
        walk_end: 0,
        vec: &raw mut found as u64,
        vec_len: 1,
        max_pages: 0,
        category_inverted: 0,
        category_mask: u64::from(linux::PAGE_IS_WRITTEN),
        category_anyof_mask: 0,
        return_mask: u64::from(linux::PAGE_IS_WRITTEN),
    };
    // SAFETY: The structure is the operation's, and `found` is read only after the last call, through no reference.
    let ask = unsafe { calls::ioctl("ioctl PAGEMAP_SCAN", pages, PAGEMAP_SCAN, &mut question) };
    expect_found(&ask, 0)?;
    page.touch();
    expect_found(&ask, 1)?;
    let [figure] = measure::singly(200, || [ask.timed().ticks()]);
    Ok(figure)
}

/// Asks, and ends the run if not as many dirty stretches are found as there are.
fn expect_found(ask: &Call, stretches: usize) -> Result<(), Refused> {
    match ask.make() {
        Ok(found) if found == stretches => Ok(()),
        Ok(_) => report::wrong("dirty: Linux does not know which page was written to"),
        Err(errno) => Err(("PAGEMAP_SCAN", errno)),
    }
}

/// Has Linux note the first write to a page from now on, without telling anybody.
fn track(page: Region) -> Result<(), Refused> {
    let range = linux::uffdio_range { start: page.start() as u64, len: page.bytes() as u64 };
    let features = u64::from(linux::UFFD_FEATURE_WP_ASYNC | linux::UFFD_FEATURE_WP_UNPOPULATED);
    let mut api = linux::uffdio_api { api: u64::from(linux::UFFD_API), features, ioctls: 0 };
    let mode = u64::from(linux::UFFDIO_REGISTER_MODE_WP);
    let mut register = linux::uffdio_register { range, mode, ioctls: 0 };
    let mut protect = linux::uffdio_writeprotect { range, mode: 1 }; // UFFDIO_WRITEPROTECT_MODE_WP
    let file = File(calls::userfaultfd().make().map_err(|errno| ("userfaultfd", errno))?);
    // SAFETY: Each structure is its operation's, and has no address of Rust's memory in it.
    let calls = unsafe {
        [
            ("UFFDIO_API", calls::ioctl("ioctl UFFDIO_API", file, UFFDIO_API, &mut api)),
            ("UFFDIO_REGISTER", calls::ioctl("ioctl UFFDIO_REGISTER", file, UFFDIO_REGISTER, &mut register)),
            (
                "UFFDIO_WRITEPROTECT",
                calls::ioctl("ioctl UFFDIO_WRITEPROTECT", file, UFFDIO_WRITEPROTECT, &mut protect),
            ),
        ]
    };
    calls.iter().try_for_each(|(name, call)| call.make().map(|_| ()).map_err(|errno| (*name, errno)))
}

/// Multiplies two matrices of 150×150, in all.
fn multiply() -> measure::Batches {
    static mut MATRICES: [Matrix; 3] = [[0; N * N]; 3];
    let matrices = &raw mut MATRICES;
    // SAFETY: The only use of it, once.
    let [left, right, product] = unsafe { &mut *matrices };
    matmul::fill(left, right);
    let batches = measure::together(1, measure::STAMP, |_| matmul::multiply(left, right, product));
    if matmul::sum(product) != matmul::known_sum(left, right) {
        report::wrong("matmul: the product is wrong");
    }
    batches
}
