/* Trains networks with one thread, two and three, each alone and then all at once from as many threads of the host: the numbers
 * are to be the same. It is small, to be run under the sanitizer of races (FASTNET_SANITIZE=thread): it has every kind of stage
 * and barrier, shuffling between passes, shards, and plans that read the same parameters. Prints what is wrong; the exit code is
 * 0 if nothing is. */
#include "../../csrc/engine/plan.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 93, BATCH = 16, PASSES = 3, STEPS = PASSES * ((ROWS + BATCH - 1) / BATCH), CLASSES = 5, LENGTH = 32 };
enum { NODES = 4, SIZE = 40000 }; /* of the largest network: layers, numbers of its parameters */

/* Attributes that are not as in the registry. */
typedef struct layer {
    const char *op;
    const char *name[3];
    double value[3];
    const char *activation; /* its number is value[1] */
    bool untrained;
} layer;

typedef struct network {
    const char *name;
    layer layers[NODES];
    const char *metric;
    bool mixup;
    double clipnorm, accumulation;
    double largest_norm; /* of the columns of every kernel; 0: any */
} network;

#define DENSE(units, f) {.op = "dense", .name = {"units", "activation"}, .value = {units}, .activation = f}
#define LAYER(kind) {.op = kind}

static const network networks[] = {
    {.name = "dense and dropout",
     .layers =
         {DENSE(48, "linear"), {.op = "dropout", .name = {"rate"}, .value = {0.3}}, DENSE(40, "relu"), DENSE(CLASSES, "linear")},
     .metric = "sparse_categorical_accuracy"},
    {.name = "batch normalization",
     .layers = {DENSE(33, "linear"), LAYER("batch_normalization"), DENSE(CLASSES, "linear")},
     .metric = "sparse_top_k_categorical_accuracy"},
    {.name = "batch normalization that is not trained",
     .layers = {{.op = "batch_normalization", .untrained = true}, DENSE(CLASSES, "linear")}},
    {.name = "nothing but a bias is trained",
     .layers = {{.op = "dense", .name = {"units"}, .value = {16}, .untrained = true},
                {.op = "batch_normalization", .name = {"scale"}, .value = {0}},
                {.op = "dense", .name = {"units"}, .value = {CLASSES}, .untrained = true}},
     .metric = "sparse_categorical_accuracy"},
    {.name = "clipping and accumulation",
     .layers = {DENSE(64, "linear"), DENSE(CLASSES, "linear")},
     .clipnorm = 0.5,
     .accumulation = 3},
    {.name = "mixup", .layers = {DENSE(31, "linear"), LAYER("gaussian_noise"), DENSE(CLASSES, "linear")}, .mixup = true},
    {.name = "shards",
     .layers = {DENSE(256, "relu"), DENSE(64, "linear"), DENSE(CLASSES, "linear")},
     .metric = "sparse_categorical_accuracy"},
    {.name = "shards and clipping",
     .layers = {DENSE(256, "relu"), DENSE(64, "linear"), DENSE(CLASSES, "linear")},
     .clipnorm = 0.1},
    {.name = "shards and constraints",
     .layers = {DENSE(256, "relu"), DENSE(64, "linear"), DENSE(CLASSES, "linear")},
     .largest_norm = 0.5},
    {.name = "a wide layer", .layers = {DENSE(300, "linear"), DENSE(70, "linear"), DENSE(CLASSES, "linear")}},
};
enum { NETWORKS = sizeof networks / sizeof networks[0] };

/* A plan with its slabs and what it writes to. */
typedef struct model {
    const network *network;
    fn_plan *plan;
    int n_threads;
    _Alignas(FN_ALIGNMENT) float parameters[SIZE];
    _Alignas(FN_ALIGNMENT) float gradients[SIZE];
    _Alignas(FN_ALIGNMENT) float slots[FN_MAX_SLOTS][SIZE];
    double hyper[FN_MAX_HYPER];
    int64_t order[ROWS];
    double loss[2], metrics[64], ended[(PASSES - 1) * (2 + 64 + 2)];
} model;

static float x[ROWS][LENGTH];
static float labels[ROWS], weights[ROWS], soft[ROWS][CLASSES];

static float number(int64_t i)
{
    return (float)(((uint64_t)i * 2654435761u) % 1000) / 1000 - 0.5f;
}

static void stop(const char *what, const fn_error *error)
{
    printf("%s: %s\n", what, error->message);
    exit(1);
}

/* The attributes of the registry, but for those that are given. */
static void fill(fn_registry registry, const char *entry_name, const char *const *name, const double *value, int n, double *out)
{
    const fn_entry *entry = fn_registry_entry(registry, fn_registry_find(registry, entry_name));
    for (int i = 0; i < entry->n_attributes; i++) {
        out[i] = entry->attributes[i].value;
        for (int j = 0; j < n && name[j]; j++)
            if (!strcmp(name[j], entry->attributes[i].name))
                out[i] = value[j];
    }
}

static void make(model *model)
{
    const network *network = model->network;
    static const int32_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    double attributes[NODES][16], loss[8], metric[8];
    fn_node_spec nodes[NODES];
    fn_parameter_spec parameters[NODES * FN_MAX_PARAMETERS];
    memset(parameters, 0, sizeof parameters);
    fn_constraint constraints[NODES * FN_MAX_PARAMETERS];
    fn_shape shape = {1, {LENGTH}};
    const fn_input_spec input = {.shape = shape};
    fn_error error;
    int n_nodes = 0, n_parameters = 0;
    int64_t offset = 0;
    for (const layer *layer = network->layers; n_nodes < NODES && layer->op; layer++, n_nodes++) {
        fn_signature signature;
        double value[3];
        memcpy(value, layer->value, sizeof value);
        if (layer->activation)
            value[1] = fn_registry_find(FN_ACTIVATIONS, layer->activation);
        fill(FN_OPS, layer->op, layer->name, value, 3, attributes[n_nodes]);
        if (fn_infer(layer->op, layer->op, 1, &shape, attributes[n_nodes], &signature, &error) != FN_OK)
            stop(network->name, &error);
        nodes[n_nodes] = (fn_node_spec){
            layer->op, layer->op, 1, &numbers[n_nodes], signature.n_parameters, &numbers[n_parameters], attributes[n_nodes]};
        for (int i = 0; i < signature.n_parameters; i++, n_parameters++) {
            /* Moving statistics, which are the last two of a normalization, are not for the optimizer. */
            const bool moving = !strcmp(layer->op, "batch_normalization") && i >= signature.n_parameters - 2;
            parameters[n_parameters] = (fn_parameter_spec){.shape = signature.parameter[i],
                                                           .offset = offset,
                                                           .trainable = !layer->untrained && !moving,
                                                           .decays = true,
                                                           .rate = 1};
            const int64_t size = fn_shape_size(&signature.parameter[i]);
            if (network->largest_norm > 0 && signature.parameter[i].rank == 2) {
                const int64_t *sizes = signature.parameter[i].size;
                constraints[n_parameters] =
                    (fn_constraint){.highest = network->largest_norm, .rate = 1, .reduced = sizes[0], .inner = sizes[1]};
                parameters[n_parameters].constraint = &constraints[n_parameters];
            }
            for (int64_t j = 0; j < size; j++)
                model->parameters[offset + j] = moving ? 1 : number(offset + j);
            offset += (size + 15) / 16 * 16;
        }
        shape = signature.output[0];
    }
    const char *loss_name = network->mixup ? "categorical_crossentropy" : "sparse_categorical_crossentropy";
    fill(FN_LOSSES, loss_name, (const char *[]){"from_logits"}, (double[]){1}, 1, loss);
    const fn_output_spec output = {
        .value = n_nodes, .loss = loss_name, .loss_attributes = loss, .loss_weight = 1, .layer = "output"};
    if (network->metric)
        fill(FN_METRICS, network->metric, (const char *[]){"k"}, (double[]){2}, 1, metric);
    const fn_metric_spec metrics = {.metric = network->metric, .attributes = metric};
    fill(FN_OPTIMIZERS, "adam", (const char *[]){"learning_rate"}, (double[]){0.01}, 1, model->hyper);
    const int n_hyper = fn_registry_entry(FN_OPTIMIZERS, fn_registry_find(FN_OPTIMIZERS, "adam"))->n_attributes;
    fill(FN_UPDATES, "update", (const char *[]){NULL}, NULL, 0, model->hyper + n_hyper);
    model->hyper[n_hyper + FN_CLIPNORM] = network->clipnorm;
    if (network->accumulation > 0)
        model->hyper[n_hyper + FN_ACCUMULATION_STEPS] = network->accumulation;
    fn_plan_spec spec = {.size = sizeof spec,
                         .dtype = FN_FLOAT32,
                         .max_rows = BATCH,
                         .training = true,
                         .n_threads = model->n_threads,
                         .seed = 3,
                         .n_inputs = 1,
                         .n_nodes = n_nodes,
                         .n_parameters = n_parameters,
                         .n_outputs = 1,
                         .n_metrics = network->metric != NULL,
                         .inputs = &input,
                         .nodes = nodes,
                         .parameters = parameters,
                         .outputs = &output,
                         .metrics = &metrics,
                         .optimizer = "adam",
                         .hyper = model->hyper,
                         .parameter_slab = model->parameters,
                         .gradient_slab = model->gradients};
    for (int i = 0; i < FN_MAX_SLOTS; i++)
        spec.slots[i] = model->slots[i];
    if (offset > SIZE || fn_plan_create(&spec, &model->plan, &error) != FN_OK)
        stop(network->name, &error);
}

static void *train(void *argument)
{
    model *model = argument;
    const fn_source input = {x, FN_FLOAT32, sizeof x[0]}, weight = {weights, FN_FLOAT32, sizeof weights[0]};
    const fn_source target =
        model->network->mixup ? (fn_source){soft, FN_FLOAT32, sizeof soft[0]} : (fn_source){labels, FN_FLOAT32, sizeof labels[0]};
    fn_shuffle(7, 0, ROWS, model->order);
    fn_run run = {.size = sizeof run,
                  .phases = FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD | FN_PHASE_UPDATE,
                  .n_rows = ROWS,
                  .batch_size = BATCH,
                  .order = model->order,
                  .epochs = PASSES,
                  .shuffles = true,
                  .shuffle_seed = 7,
                  .inputs = &input,
                  .targets = &target,
                  .weights = &weight,
                  .mixup = model->network->mixup ? 0.3 : 0,
                  .hyper = model->hyper,
                  .loss_sum = model->loss,
                  .metrics = model->metrics,
                  .epoch_results = model->ended};
    fn_error error;
    if (fn_plan_run(model->plan, &run, &error) != FN_OK)
        stop(model->network->name, &error);
    if (run.steps_done != STEPS || run.epochs_done != PASSES - 1) {
        printf("%s: %lld steps in %lld passes\n", model->network->name, (long long)run.steps_done, (long long)run.epochs_done);
        exit(1);
    }
    return NULL;
}

static model *prepare(const network *network, int n_threads)
{
    model *model = fn_allocate(sizeof *model);
    if (!model)
        exit(1);
    model->network = network;
    model->n_threads = n_threads;
    make(model);
    return model;
}

/* Whether a model has come to the same parameters and results as another; the seconds in `ended` are not compared. */
static bool agree(const model *a, const model *b)
{
    const int64_t columns = 2 + a->plan->metric_size + 2;
    for (int pass = 0; pass < PASSES - 1; pass++)
        if (memcmp(a->ended + pass * columns, b->ended + pass * columns, sizeof(double) * (size_t)(columns - 1)))
            return false;
    return !memcmp(a->parameters, b->parameters, sizeof a->parameters) && !memcmp(a->slots, b->slots, sizeof a->slots) &&
           !memcmp(a->loss, b->loss, sizeof a->loss) && !memcmp(a->metrics, b->metrics, sizeof a->metrics);
}

static void release(model *model)
{
    fn_plan_destroy(model->plan);
    fn_release(model);
}

/* Between the stage that finds the loss and any that updates something is a barrier. */
static int check_barriers(const model *model)
{
    const fn_plan *plan = model->plan;
    bool judged = false, passed = true;
    int failures = 0;
    for (int32_t i = 0; i < plan->n_stages; i++) {
        const fn_stage *stage = &plan->stages[i];
        passed |= stage->barrier;
        if (stage->phase == FN_PHASE_UPDATE && !(judged && passed)) {
            printf("%s: %s before all threads know the loss\n", model->network->name, stage->label);
            failures++;
        }
        if (!strcmp(stage->label, "loss")) {
            judged = true;
            passed = false;
        }
    }
    return failures;
}

/* A loss that is not finite in the second step, found by thread 0, keeps all threads from updating anything in it. */
static int check_divergence(void)
{
    int failures = 0;
    for (size_t n = 0; n < NETWORKS; n++) {
        model *models[3];
        for (int i = 0; i < 3; i++) {
            models[i] = prepare(&networks[n], 1 + i);
            failures += check_barriers(models[i]);
            const fn_source input = {x, FN_FLOAT32, sizeof x[0]};
            float targets[ROWS][CLASSES];
            const size_t width = networks[n].mixup ? CLASSES : 1;
            memcpy(targets, networks[n].mixup ? (void *)soft : (void *)labels, sizeof(float) * width * ROWS);
            float bad[ROWS];
            for (int j = 0; j < ROWS; j++)
                bad[j] = j < BATCH ? 1 : INFINITY;
            const fn_source target = {targets, FN_FLOAT32, (int64_t)(sizeof(float) * width)},
                            weight = {bad, FN_FLOAT32, sizeof bad[0]};
            fn_run run = {.size = sizeof run,
                          .phases = FN_PHASE_FORWARD | FN_PHASE_LOSS | FN_PHASE_BACKWARD | FN_PHASE_UPDATE,
                          .n_rows = ROWS,
                          .batch_size = BATCH,
                          .inputs = &input,
                          .targets = &target,
                          .weights = &weight,
                          .hyper = models[i]->hyper,
                          .loss_sum = models[i]->loss,
                          .metrics = models[i]->metrics};
            fn_error error;
            if (fn_plan_run(models[i]->plan, &run, &error) != FN_ERROR_DIVERGED || run.steps_done != 1 ||
                (i > 0 && !agree(models[i], models[0]))) {
                printf("%s: %d threads go on where the loss is not finite\n", networks[n].name, i + 1);
                failures++;
            }
        }
        for (int i = 0; i < 3; i++)
            release(models[i]);
    }
    return failures;
}

int main(void)
{
    for (int64_t i = 0; i < ROWS; i++) {
        for (int64_t j = 0; j < LENGTH; j++)
            x[i][j] = number(i * LENGTH + j);
        labels[i] = (float)(i * i % CLASSES);
        weights[i] = 1 + number(i);
        soft[i][(int)labels[i]] = 1;
    }
    int failures = check_divergence();
    model *alone[NETWORKS][3], *together[NETWORKS][3];
    pthread_t threads[NETWORKS][3];
    for (size_t n = 0; n < NETWORKS; n++)
        for (int i = 0; i < 3; i++) {
            alone[n][i] = prepare(&networks[n], 1 + i);
            together[n][i] = prepare(&networks[n], 1 + i);
            train(alone[n][i]);
            if (!agree(alone[n][i], alone[n][0])) {
                printf("%s: other numbers with %d threads\n", networks[n].name, i + 1);
                failures++;
            }
        }
    for (size_t n = 0; n < NETWORKS; n++)
        for (int i = 0; i < 3; i++)
            if (pthread_create(&threads[n][i], NULL, train, together[n][i]) != 0)
                return 1;
    for (size_t n = 0; n < NETWORKS; n++)
        for (int i = 0; i < 3; i++) {
            pthread_join(threads[n][i], NULL);
            if (!agree(together[n][i], alone[n][0])) {
                printf("%s: other numbers with %d threads, while others train\n", networks[n].name, i + 1);
                failures++;
            }
        }
    for (size_t n = 0; n < NETWORKS; n++)
        if ((alone[n][1]->plan->peer_steps > 0) != !strncmp(networks[n].name, "shards", 6)) {
            printf("%s: %lld steps with shards\n", networks[n].name, (long long)alone[n][1]->plan->peer_steps);
            failures++;
        }
    for (size_t n = 0; n < NETWORKS; n++)
        for (int i = 0; i < 3; i++) {
            release(alone[n][i]);
            release(together[n][i]);
        }
    return failures != 0;
}
