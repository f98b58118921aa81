// Starts to collect, for each movement of the mouse over the score strip, the milliseconds from the
// input event to the end of the frame in which the outlines on the map are as many as the number of
// heads that the strip shows. `window.drags` holds them.
() => {
    window.drags = []
    const plot = () => document.querySelector('.js-plotly-plot')
    const outlines = () => {
        const {uid} = plot()._fullData.find(one => one.name === 'outline' && one.meta === 'ink')
        return plot().querySelectorAll(`.trace${uid} path.js-line`).length
    }
    const count = () => +document.querySelector('.score-strip [data-fact=heads]').innerText.split(' ')[0]
    document.querySelector('.score-strip .track').addEventListener('pointermove', event => {
        requestAnimationFrame(() => setTimeout(() => {     // after the frame has been painted
            if (outlines() === count()) window.drags.push(performance.now() - event.timeStamp)
        }))
    })
}
