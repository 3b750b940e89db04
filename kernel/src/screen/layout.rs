//! Where everything is on the screen, for any size of it.
//!
//! ```text
//! title                                   uptime
//! ┌ map ─────────────────────────┐ ┌ classes ───┐
//! │ a tile a block               │ │ a row a    │
//! │ machine ▓▓▓▓▒░░░░░░░░░░░░░░░ │ │ chunk size │
//! └──────────────────────────────┘ └────────────┘
//! ┌ graph ───────────────────────┐ ┌ numbers ───┐
//! └──────────────────────────────┘ └────────────┘
//! ```
#![forbid(unsafe_code)]

use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::primitives::Rectangle;

/// Pixels round everything.
const MARGIN: u32 = 16;
/// Pixels between panels.
const GAP: u32 = 12;
/// Pixels from a panel's edge to what is in it.
const PADDING: u32 = 12;
/// Pixels of the title's line.
const TITLE: u32 = 32;
/// Pixels of a panel's heading.
const HEADING: u32 = 26;
/// Width of the panels on the right.
const SIDE: u32 = 288;
/// Height of the panels at the bottom.
const BOTTOM: u32 = 224;
/// The smallest screen that has room for all this. (The boot loader is asked for more: boot/src/disk_image.rs.)
const SMALLEST: Size = Size::new(800, 600);

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The title's line.
    pub(crate) title: Rectangle,
    /// The panel of the heap map.
    pub(crate) map: Rectangle,
    /// That of the size classes.
    pub(crate) classes: Rectangle,
    /// That of the graph.
    pub(crate) graph: Rectangle,
    /// That of the numbers.
    pub(crate) numbers: Rectangle,
}

impl Layout {
    /// Returns the layout for a screen of this size; `None` where it is too small.
    pub(crate) fn new(screen: Size) -> Option<Self> {
        if screen.width < SMALLEST.width || screen.height < SMALLEST.height {
            return None;
        }
        let width = screen.width - 2 * MARGIN;
        let main = width - GAP - SIDE;
        let top = MARGIN + TITLE + GAP;
        let bottom = screen.height - MARGIN - BOTTOM;
        let right = MARGIN + main + GAP;
        let upper = bottom - GAP - top;
        Some(Self {
            title: rectangle(MARGIN, MARGIN, width, TITLE),
            map: rectangle(MARGIN, top, main, upper),
            classes: rectangle(right, top, SIDE, upper),
            graph: rectangle(MARGIN, bottom, main, BOTTOM),
            numbers: rectangle(right, bottom, SIDE, BOTTOM),
        })
    }
}

/// Returns a rectangle by its upper left corner, width and height.
pub(crate) const fn rectangle(x: u32, y: u32, width: u32, height: u32) -> Rectangle {
    Rectangle::new(
        Point::new(x.cast_signed(), y.cast_signed()),
        Size::new(width, height),
    )
}

/// Returns what is inside a panel, but for its heading.
pub(crate) fn inside(panel: Rectangle) -> Rectangle {
    let inner = panel.offset(-PADDING.cast_signed());
    cut_top(inner, HEADING)
}

/// Returns where a panel's heading begins.
pub(crate) fn heading(panel: Rectangle) -> Point {
    panel.top_left + Point::new(PADDING.cast_signed(), 9)
}

/// Returns the upper right corner of a panel's heading.
pub(crate) fn heading_end(panel: Rectangle) -> Point {
    let end = panel.top_left.x + (panel.size.width - PADDING).cast_signed();
    Point::new(end, heading(panel).y)
}

/// Returns a rectangle without its uppermost pixels.
pub(crate) fn cut_top(area: Rectangle, pixels: u32) -> Rectangle {
    let pixels = pixels.min(area.size.height);
    Rectangle::new(
        area.top_left + Point::new(0, pixels.cast_signed()),
        area.size - Size::new(0, pixels),
    )
}

/// Returns a rectangle without its lowest pixels.
pub(crate) fn cut_bottom(area: Rectangle, pixels: u32) -> Rectangle {
    Rectangle::new(
        area.top_left,
        area.size.saturating_sub(Size::new(0, pixels)),
    )
}

/// Returns a rectangle without its leftmost pixels.
pub(crate) fn cut_left(area: Rectangle, pixels: u32) -> Rectangle {
    let pixels = pixels.min(area.size.width);
    Rectangle::new(
        area.top_left + Point::new(pixels.cast_signed(), 0),
        area.size - Size::new(pixels, 0),
    )
}

/// Returns which share of `pixels` the share `part` of `whole` is: at least one for what is not nothing.
pub(crate) fn share(part: u64, whole: u64, pixels: u32) -> u32 {
    if part == 0 || whole == 0 {
        return 0;
    }
    let scaled = u128::from(part) * u128::from(pixels) / u128::from(whole);
    u32::try_from(scaled)
        .unwrap_or(pixels)
        .clamp(1, pixels.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_are_on_the_screen_and_apart() {
        for (width, height) in [
            (800, 600),
            (1024, 768),
            (1280, 720),
            (1280, 800),
            (1920, 1080),
        ] {
            let layout = Layout::new(Size::new(width, height)).unwrap();
            let screen = rectangle(0, 0, width, height);
            let all = [
                layout.title,
                layout.map,
                layout.classes,
                layout.graph,
                layout.numbers,
            ];
            for (number, one) in all.iter().enumerate() {
                assert_eq!(one.intersection(&screen), *one);
                for other in &all[..number] {
                    assert!(
                        one.intersection(other).is_zero_sized(),
                        "{width} × {height}"
                    );
                }
            }
        }
    }

    #[test]
    fn small_screens_have_no_layout() {
        assert_eq!(Layout::new(Size::new(640, 480)), None);
    }

    #[test]
    fn shares_are_in_proportion_but_never_vanish() {
        assert_eq!(share(0, 10, 100), 0);
        assert_eq!(share(5, 10, 100), 50);
        assert_eq!(share(1, 1_000_000, 100), 1);
        assert_eq!(share(20, 10, 100), 100);
        assert_eq!(share(1, 0, 100), 0);
        assert_eq!(share(u64::MAX, u64::MAX, 7), 7);
    }
}
