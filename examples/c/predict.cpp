// predict MODEL: what a model that Python saved makes of a row of zeros.
#include <fastnet.h>
#include <iostream>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <vector>

using Model = std::unique_ptr<fn_model, decltype(&fn_model_destroy)>;

static Model load(const char *path)
{
    fn_error error;
    fn_model *model;
    if (fn_model_load(path, &model, &error) != FN_OK)
        throw std::runtime_error(error.message);
    return Model(model, fn_model_destroy);
}

static std::size_t size_of(const fn_shape *shape)
{
    return std::accumulate(shape->size, shape->size + shape->rank, std::size_t(1), std::multiplies<>());
}

static std::vector<float> predict(fn_model *model, const std::vector<float> &x)
{
    fn_error error;
    std::vector<float> y(size_of(fn_model_output(model, 0)));
    void *outputs[] = {y.data()};
    const fn_source input = {x.data(), FN_FLOAT32, 0};
    if (fn_model_predict(model, 1, &input, outputs, &error) != FN_OK)
        throw std::runtime_error(error.message);
    return y;
}

int main(int, char **argv)
try {
    const Model model = load(argv[1]);
    std::cout.precision(9);
    for (float number : predict(model.get(), std::vector<float>(size_of(fn_model_input(model.get(), 0)))))
        std::cout << number << '\n';
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
