//! The growth as a picture: times over the number of servers.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
/// Room for the axes: left, right, top, bottom.
const MARGIN: [f64; 4] = [64.0, 190.0, 24.0, 48.0];
const COLOURS: [&str; 4] = ["#1f5fa8", "#c0392b", "#2e8b57", "#b8860b"];

/// One quantity.
pub(crate) struct Line {
    pub(crate) name: String,
    /// Servers, milliseconds.
    pub(crate) points: Vec<(u32, f64)>,
}

/// An SVG file. Both axes begin at zero.
pub(crate) fn draw(lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most_servers = points().map(|point| point.0).max().unwrap_or(1).max(1);
    let most_time = round_up(points().map(|point| point.1).fold(1.0, f64::max));
    let [left, right, top, bottom] = MARGIN;
    let (width, height) = (WIDTH - left - right, HEIGHT - top - bottom);
    let x = |servers: u32| left + width * f64::from(servers) / f64::from(most_servers);
    let y = |time: f64| top + height * (1.0 - time / most_time);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    // Writing to a string does not fail.
    for step in 0..=4 {
        let (time, at) = (most_time * f64::from(step) / 4.0, y(most_time * f64::from(step) / 4.0));
        let _ = writeln!(
            text,
            "<path d=\"M{left} {at:.1}h{width:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{time:.0} ms</text>",
            left - 8.0,
            at + 4.0
        );
    }
    for &(servers, _) in lines.first().map_or(&[][..], |line| &line.points) {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{servers}</text>",
            x(servers),
            top + height + 18.0
        );
    }
    let _ = writeln!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">real servers</text>",
        left + width / 2.0,
        HEIGHT - 10.0
    );
    for (line, (number, colour)) in lines.iter().zip(COLOURS.iter().cycle().enumerate()) {
        draw_line(&mut text, line, colour, &x, &y);
        let at = top + 16.0 + 18.0 * number as f64;
        let _ = writeln!(
            text,
            "<path d=\"M{:.1} {:.1}h18\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"{at:.1}\">{}</text>",
            WIDTH - right + 16.0,
            at - 4.0,
            WIDTH - right + 40.0,
            line.name
        );
    }
    text + "</svg>\n"
}

fn draw_line(
    text: &mut String,
    line: &Line,
    colour: &str,
    x: &dyn Fn(u32) -> f64,
    y: &dyn Fn(f64) -> f64,
) {
    let path: Vec<String> =
        line.points.iter().map(|&(at, time)| format!("{:.1} {:.1}", x(at), y(time))).collect();
    let path = path.join("L");
    let _ = writeln!(
        text,
        "<path d=\"M{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
    );
    for &(at, time) in &line.points {
        let _ = writeln!(
            text,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
            x(at),
            y(time)
        );
    }
}

/// The next 1, 2, 4 or 5 times a power of ten.
fn round_up(most: f64) -> f64 {
    let power = 10f64.powf(most.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0]
        .map(|step| step * power)
        .into_iter()
        .find(|&n| n >= most)
        .unwrap_or(most)
}
