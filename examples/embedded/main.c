/* A sensor grows old: its gain falls and its zero moves. Now and then there is a reference, such as a pump that is off or a valve
 * at its stop, from which the network learns; in between it is on its own. Beside it runs one that does not learn. */
#include <math.h>
#include <stdio.h>

#include "sensor.h"

static sensor_memory learning, fixed;

/* Uniform between 0 and 1: a linear congruential generator (Knuth, The Art of Computer Programming, section 3.3.4). */
static float draw(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 16777216.0f;
}

int main(void)
{
    const int days = 400, samples = 50, references = 4;
    float errors[2] = {0, 0};
    sensor_reset(&learning);
    sensor_reset(&fixed);
    for (int day = 0; day < days; day++) {
        const float age = (float)day / (float)days, gain = 1 - 0.25f * age, zero = 0.1f * age;
        for (int i = 0; i < samples; i++) {
            const float pressure = draw(), warm = 2 * draw() - 1, noise = 0.004f * (draw() - 0.5f);
            const float reading = pressure + 0.15f * pressure * pressure - 0.12f * warm * pressure + 0.05f * warm;
            const float x[2] = {gain * reading + zero + noise, warm};
            float own, old;
            sensor_predict(x, &own, &learning);
            sensor_predict(x, &old, &fixed);
            if (day >= days / 2) {
                errors[0] += (own - pressure) * (own - pressure);
                errors[1] += (old - pressure) * (old - pressure);
            }
            if (i < references)
                sensor_train(x, &pressure, NULL, 0.05f, &learning);
        }
    }
    const float n = (float)(days / 2 * samples);
    printf("in the second year: off by %.1f thousandths, without learning by %.1f; %u steps, %u bytes of memory\n",
           1000 * (double)sqrtf(errors[0] / n), 1000 * (double)sqrtf(errors[1] / n), (unsigned)learning.step,
           (unsigned)sizeof learning);
    return 0;
}
