// Whether a series of samples rises.

/**
 * The line through the samples by the median of all their slopes (Theil and Sen): a few peaks do not move it.
 *
 * @param points pairs of x and y.
 * @returns the median of y, how much the line changes from the first x to the last, and that as a part of the median.
 */
export function growthOf(points) {
  const slopes = [];
  for (let left = 0; left < points.length; left += 1) {
    for (let right = left + 1; right < points.length; right += 1) {
      slopes.push((points[right][1] - points[left][1]) / (points[right][0] - points[left][0]));
    }
  }
  const median = middle(points.map(([, y]) => y));
  const change = slopes.length === 0 ? 0 : middle(slopes) * (points.at(-1)[0] - points[0][0]);
  return { median, change, part: median === 0 ? 0 : change / median };
}

function middle(values) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.floor(sorted.length / 2)];
}
