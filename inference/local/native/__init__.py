"""The step in C: for models of the Llama family, on the processor. Optional; torch computes the same, slower.

build       compiles the C files into one library, where a compiler is at hand
library     that library, through ctypes
family      which models it computes, and what it has to know of them
rotary      the angles of rotary position embeddings
packing     weights as the kernels read them, kept on disk
runner      the step behind the `Runner` seam
"""
