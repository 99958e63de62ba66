"""What of csrc/fastnet.h the extension module uses."""

from libc.stdint cimport int32_t, int64_t, uint64_t


cdef extern from "fastnet.h" nogil:
    ctypedef unsigned char bool_t "bool"
    enum: FN_MAX_RANK
    enum: FN_MAX_MESSAGE
    enum: FN_MAX_OUTPUTS
    enum: FN_MAX_PARAMETERS
    enum: FN_MAX_THREADS
    enum: FN_MAX_SLOTS
    enum: FN_ALIGNMENT
    enum: FN_STATUS_COUNT
    enum: FN_MAX_LOSSES

    ctypedef enum fn_status:
        FN_OK
        FN_ERROR_MEMORY
        FN_ERROR_DATA
        FN_ERROR_LABEL

    ctypedef struct fn_error:
        fn_status status
        char message[FN_MAX_MESSAGE]

    const char *fn_status_name(fn_status)
    const char *fn_status_exception(fn_status)
    const char *fn_status_text(fn_status)

    ctypedef enum fn_dtype:
        FN_FLOAT32
        FN_FLOAT64
        FN_UINT8
        FN_INT32
        FN_INT64

    ctypedef struct fn_shape:
        int32_t rank
        int64_t size[FN_MAX_RANK]

    ctypedef enum fn_isa:
        FN_ISA_COUNT

    const char *fn_isa_name(fn_isa)
    bint fn_isa_available(fn_isa)
    fn_isa fn_isa_current()
    fn_status fn_isa_select(const char *, fn_error *)
    int fn_cpu_count()
    double fn_cpu_quota()
    int fn_default_threads()
    double fn_seconds()

    ctypedef enum fn_registry:
        FN_OPS
        FN_LOSSES
        FN_METRICS
        FN_OPTIMIZERS
        FN_ACTIVATIONS
        FN_FUNCTIONS
        FN_UPDATES

    ctypedef struct fn_attribute:
        const char *name
        double value
        double lowest
        double highest
        const char *choices
        unsigned kind

    enum: FN_IS_INTEGER
    enum: FN_VARIES

    ctypedef struct fn_entry:
        const char *name
        const fn_attribute *attributes
        int32_t n_attributes

    int fn_registry_size(fn_registry)
    const fn_entry *fn_registry_entry(fn_registry, int)
    int fn_registry_find(fn_registry, const char *)
    bint fn_op_penalizes(const char *)
    fn_status fn_check_attributes(fn_registry, const char *, const char *, const double *, fn_error *)
    int fn_optimizer_slots(const char *, const double *, const char **, double *)
    int64_t fn_metric_size(const char *, const double *, const fn_shape *)

    ctypedef struct fn_signature:
        int32_t n_outputs
        fn_shape output[FN_MAX_OUTPUTS]
        int32_t n_parameters
        fn_shape parameter[FN_MAX_PARAMETERS]
        bint keeps_numbers

    fn_status fn_infer(const char *, const char *, int, const fn_shape *, const double *, fn_signature *, fn_error *)
    fn_status fn_infer_target(const char *, const double *, const fn_shape *, fn_shape *, fn_error *)
    fn_status fn_compute_loss(const char *, const double *, fn_dtype, int64_t, const fn_shape *, const void *, const void *,
                              const void *, void *, void *, fn_error *)
    fn_status fn_compute_metric(const char *, const double *, fn_dtype, int64_t, int64_t, int64_t, const void *,
                                const void *, double *, fn_error *)

    ctypedef struct fn_node_spec:
        const char *op
        const char *layer
        int32_t n_inputs
        const int32_t *inputs
        int32_t n_parameters
        const int32_t *parameters
        const double *attributes

    ctypedef struct fn_constraint:
        bint non_negative
        double lowest
        double highest
        double rate
        int64_t reduced
        int64_t inner

    ctypedef struct fn_parameter_spec:
        fn_shape shape
        fn_shape update_shape
        int64_t offset
        bint trainable
        bint decays
        double rate
        double l1
        double l2
        const fn_constraint *constraint
        const void *values

    ctypedef struct fn_input_spec:
        fn_shape shape
        const double *scale
        const double *shift
        int32_t target

    ctypedef struct fn_output_spec:
        int32_t value
        const char *loss
        const double *loss_attributes
        double loss_weight
        const char *layer
        const int32_t *mask
        const int32_t *formula
        bint labels

    ctypedef struct fn_metric_spec:
        const char *metric
        const double *attributes
        int32_t output
        const int32_t *formula

    ctypedef struct fn_scheduled:
        int32_t node
        int32_t attribute

    ctypedef struct fn_assignment:
        int32_t parameter
        int32_t value

    ctypedef struct fn_plan_spec:
        size_t size
        fn_dtype dtype
        int64_t max_rows
        bint training
        bint input_gradients
        bint separate_stages
        uint64_t seed
        int32_t n_threads
        int32_t n_inputs, n_nodes, n_parameters, n_outputs, n_metrics
        const fn_input_spec *inputs
        const fn_node_spec *nodes
        const fn_parameter_spec *parameters
        const fn_output_spec *outputs
        const fn_metric_spec *metrics
        const char *optimizer
        const double *hyper
        int32_t n_scheduled
        const fn_scheduled *scheduled
        void *parameter_slab
        void *gradient_slab
        void *slots[FN_MAX_SLOTS]
        int32_t n_assignments
        const fn_assignment *assignments
        int32_t pieces
        int32_t replicas
        int32_t n_cuts
        const int64_t *cuts

    ctypedef struct fn_plan:
        pass

    fn_status fn_plan_create(const fn_plan_spec *, fn_plan **, fn_error *)
    void fn_plan_destroy(fn_plan *)

    ctypedef struct fn_source:
        const void *data
        fn_dtype dtype
        int64_t stride

    enum:
        FN_PHASE_FORWARD
        FN_PHASE_LOSS
        FN_PHASE_BACKWARD
        FN_PHASE_UPDATE
        FN_PHASE_FETCH
        FN_PHASE_OUTPUT_GRADIENT
        FN_PHASE_FETCH_GRADIENTS
        FN_PHASE_FLUSH
        FN_PHASE_STATES

    ctypedef struct fn_run:
        size_t size
        unsigned phases
        int64_t n_rows
        int64_t batch_size
        int64_t first_row
        int64_t *order
        int64_t epochs
        bint shuffles
        uint64_t shuffle_seed, shuffle_number
        const fn_source *inputs
        const fn_source *targets
        const fn_source *weights
        const int64_t *weights_per_row
        double mixup
        double cutmix
        uint64_t step
        const double *hyper
        int64_t hyper_stride
        void **outputs
        const void **output_gradients
        void **input_gradients
        double seconds
        double *stage_seconds
        double *loss_sum
        double *metrics
        double gradient_squares
        double *epoch_results
        int64_t epochs_done
        int64_t next_row
        int64_t steps_done
        int64_t draws_ahead
        int64_t every
        int64_t stride
        int64_t mean_rows
        int64_t piece_stride
        bint checked
        int32_t part, replica
        double *exchange

    int64_t fn_plan_exchange(const fn_plan *, int32_t)
    int32_t fn_plan_cut(const fn_plan *, int32_t)
    fn_status fn_plan_run(fn_plan *, fn_run *, fn_error *)
    fn_status fn_plans_run(int32_t, fn_plan **, fn_run **, int32_t *, fn_error *)

    ctypedef struct fn_plan_info:
        size_t size
        fn_isa isa
        int32_t n_threads
        int32_t n_stages
        int32_t n_barriers
        int64_t arena_bytes
        int64_t thread_bytes
        int64_t live_bytes
        int32_t n_peers
        int64_t peer_steps
        int32_t pieces

    void fn_plan_describe(const fn_plan *, fn_plan_info *)

    ctypedef struct fn_stage_info:
        size_t size
        const char *label
        const char *layer
        unsigned phase
        double flops_per_row
        double flops_fixed
        int64_t bytes_per_row
        int64_t bytes_fixed

    bint fn_plan_stage(const fn_plan *, int, fn_stage_info *)
    double fn_measure_flops(fn_dtype)
    double fn_measure_bandwidth()
    fn_status fn_sum_arrays(fn_dtype, int64_t, void *, const void *const *, int32_t, double, bool_t *, fn_error *)
    int64_t fn_allocation_count()
    void fn_fail_allocation(int64_t number)
    void fn_shuffle(uint64_t, uint64_t, int64_t, int64_t *)
    fn_status fn_check_finite(const fn_source *, int64_t, int64_t, int64_t *)
    fn_status fn_check_labels(const fn_source *, int64_t, int64_t, int64_t, int64_t *, double *)
