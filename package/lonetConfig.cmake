# find_package(lonet) gives the target lonet::lonet. The files are found from this one, so the tree may be moved.
if(NOT TARGET lonet::lonet)
  get_filename_component(_lonet_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
  add_library(lonet::lonet SHARED IMPORTED)
  set_target_properties(lonet::lonet PROPERTIES
    IMPORTED_LOCATION "${_lonet_prefix}/lib/liblonet.so"
    IMPORTED_SONAME "liblonet.so"
    INTERFACE_INCLUDE_DIRECTORIES "${_lonet_prefix}/include")
  unset(_lonet_prefix)
endif()
